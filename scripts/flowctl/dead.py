"""`flowctl dead`: events that could never be applied, and what becomes of them."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from masterflow.scripts.flowctl.options import AsJson, Limit, command_group
from masterflow.scripts.flowctl.output import print_done, print_json, print_table

if TYPE_CHECKING:
    from pydantic import ValidationError

    from masterflow.tasks.dead_letters.letters import DeadLetter, Selection

group = command_group("Events that could never be applied.")

Reason = Annotated[str | None, typer.Option(help="Only with this reason, such as flow_not_found.")]
Flow = Annotated[UUID | None, typer.Option(help="Only of this flow.")]
Account = Annotated[UUID | None, typer.Option("--client", help="Only of this client account.")]
Letter = Annotated[UUID | None, typer.Option(help="Only this letter.")]
Every = Annotated[bool, typer.Option("--all", help="All there are.")]


@group.command("list")
def list_(
    *,
    reason: Reason = None,
    flow: Flow = None,
    client: Account = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the latest first."""
    from masterflow.domain.shown.times import moment
    from masterflow.scripts.broker import dead_letters

    with dead_letters() as letters:
        found = letters.read(_selection(reason, flow, client), limit=limit)
    if as_json:
        print_json([letter.model_dump(mode="json") for letter in found])
        return
    print_table(
        ("letter", "reason", "kind", "flow", "last seen", "attempts"),
        (
            (
                str(letter.letter_id),
                letter.reason,
                str(letter.event.get("kind", "")),
                letter.flow_id or "",
                moment(letter.last_seen),
                str(letter.attempts),
            )
            for letter in found
        ),
        empty="There are no such dead letters.",
    )


@group.command()
def show(
    letter: Annotated[UUID, typer.Argument(help="A letter's id, as `flowctl dead list` shows it.")],
    *,
    as_json: AsJson = False,  # noqa: ARG001  it always is, and who writes a script need not know that
) -> None:
    """Show one dead letter with its event, as JSON."""  # noqa: DOC501
    from masterflow.domain import InputInvalid
    from masterflow.scripts.broker import dead_letters
    from masterflow.tasks.dead_letters.letters import Selection

    with dead_letters() as letters:
        found = letters.read(Selection(letter_id=letter), limit=1)
    if not found:
        raise InputInvalid(f"There is no dead letter {letter}; `flowctl dead list` shows those there are.")
    print_json(found[0].model_dump(mode="json"))


@group.command()
def replay(
    *,
    reason: Reason = None,
    flow: Flow = None,
    client: Account = None,
    letter: Letter = None,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Send events through the same door again; what is no event stays.

    They are signed by this, so with keys only what a worker has verified is sent; without any, what bore a
    wrong signature only with --reason signature_invalid.
    """
    from masterflow.scripts.broker import dead_letters
    from masterflow.tasks.enqueue import Publisher, QueueSettings, redis_client

    selection = _deliberate(replace(_selection(reason, flow, client), letter_id=letter), every=every)
    settings = QueueSettings()
    publisher, redis = Publisher(settings), redis_client(settings)
    with dead_letters() as letters:
        count = letters.replay(selection, publisher=publisher, redis=redis)
        refused = dict(letters.refused)
    stayed = "".join(f" {number} stayed: {reason}." for reason, number in refused.items())
    told = {"refused": refused} if refused else {}
    print_done(f"{count} sent again.{stayed}", as_json=as_json, sent_again=count, **told)


@group.command()
def drop(
    *,
    reason: Reason = None,
    flow: Flow = None,
    client: Account = None,
    letter: Letter = None,
    every: Every = False,
    as_json: AsJson = False,
) -> None:
    """Forget dead letters for good."""
    from masterflow.scripts.broker import dead_letters

    selection = _deliberate(replace(_selection(reason, flow, client), letter_id=letter), every=every)
    with dead_letters() as letters:
        count = letters.drop(selection)
    print_done(f"{count} dropped.", as_json=as_json, dropped=count)


@group.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="What `dead list --json` printed; - for standard input.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Load letters that were saved as JSON; those that lie there already stay as they are."""
    from masterflow.scripts.broker import dead_letters

    saved = _saved(path)
    with dead_letters() as letters:
        known = {letter.letter_id for letter in letters.read(limit=sys.maxsize)}
        fresh = [letter for letter in saved if letter.letter_id not in known]
        dropped = letters.put(fresh)
    is_there = len(saved) - len(fresh)
    print_done(
        f"{len(fresh)} loaded, {is_there} were there, {dropped} of the oldest had to go for them.",
        as_json=as_json,
        loaded=len(fresh),
        were_there=is_there,
        dropped=dropped,
    )


def _saved(path: Path) -> "list[DeadLetter]":
    """Return the letters in a file, the oldest first, each once.

    Raises:
        InputInvalid: the file cannot be read, or is no list of letters.
    """
    from pydantic import TypeAdapter, ValidationError

    from masterflow.domain import InputInvalid
    from masterflow.tasks.dead_letters.letters import DeadLetter

    try:
        # JSON is UTF-8, whatever the terminal's encoding is.
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        letters = TypeAdapter(list[DeadLetter]).validate_json(content.decode("utf-8-sig"))
    except OSError as error:
        raise InputInvalid(
            f"{path} cannot be read ({error.strerror}); check its path and its rights."
        ) from error
    except UnicodeDecodeError as error:
        raise InputInvalid(f"{path} holds no list of dead letters, but bytes that are no UTF-8.") from error
    except ValidationError as error:
        raise InputInvalid(
            f"{path} holds no list of dead letters, as `dead list --json` prints it: {_first(error)}."
        ) from error
    oldest_first = sorted(letters, key=lambda letter: letter.last_seen)
    return list({letter.letter_id: letter for letter in oldest_first}.values())


def _first(error: "ValidationError") -> str:
    """Return what is wrong first, and in which part, without quoting it."""
    flaw = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, flaw["loc"]))
    return f"{place}: {flaw['msg']}" if place else flaw["msg"]


def _selection(reason: str | None, flow: UUID | None, client: UUID | None) -> "Selection":
    from masterflow.tasks.dead_letters.letters import Selection

    return Selection(
        reason=reason, flow_id=str(flow) if flow else None, client_account_id=str(client) if client else None
    )


def _deliberate(selection: "Selection", *, every: bool) -> "Selection":
    """Return the selection.

    Raises:
        InputInvalid: it is everything there is, without anybody having said so.
    """
    from masterflow.domain import InputInvalid
    from masterflow.tasks.dead_letters.letters import EVERY_LETTER

    if selection == EVERY_LETTER and not every:
        raise InputInvalid("Say which letters: --letter, --reason, --flow or --client, or --all.")
    return selection
