"""`flowctl notices`: who is told of what, what waits for them, and what they never took."""

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from masterflow.scripts.flowctl.options import AsJson, command_group
from masterflow.scripts.flowctl.output import print_done, print_json, print_table
from masterflow.scripts.terminal.text import say

if TYPE_CHECKING:
    from masterflow.tasks.notices.notice import Notice as NoticeModel
    from masterflow.tasks.notices.queue import Entry, NoticeQueue
    from masterflow.tasks.notices.receivers import Receiver

group = command_group("What receivers outside are told of flows (ENRICHMENT_NOTICES).")

Name = Annotated[str | None, typer.Option("--receiver", help="Only this receiver.")]
Notice = Annotated[UUID | None, typer.Option(help="Only this notice.")]
Every = Annotated[bool, typer.Option("--all", help="All there are.")]
Place = Annotated[
    Literal["dead", "waiting"], typer.Option(help="What was never taken, or what waits to be told.")
]


@group.command("list")
def list_(*, receiver: Name = None, place: Place = "dead", as_json: AsJson = False) -> None:
    """List notices that a receiver never took, or that wait for it."""
    queue = _queue()
    found = [(name, entry) for name in _names(receiver) for entry in queue.read(place, name)]
    if as_json:
        print_json([_told(name, entry) for name, entry in found])
        return
    print_table(
        ("receiver", "notice", "event", "flow", "tries", "error"),
        (
            (
                name,
                str(entry.notice.id),
                entry.notice.event,
                str(entry.notice.flow_id),
                str(entry.tries),
                entry.error,
            )
            for name, entry in found
        ),
        empty="There are no such notices.",
    )


@group.command()
def replay(
    *, receiver: Name = None, notice: Notice = None, every: Every = False, as_json: AsJson = False
) -> None:
    """Tell receivers again what they never took."""
    queue = _queue()
    _deliberate(receiver, notice, every=every)
    count = sum(queue.replay(name, notice_id=notice) for name in _names(receiver))
    print_done(f"{count} wait to be told again.", as_json=as_json, replayed=count)


@group.command()
def drop(
    *,
    receiver: Name = None,
    notice: Notice = None,
    every: Every = False,
    place: Place = "dead",
    as_json: AsJson = False,
) -> None:
    """Forget notices for good."""
    queue = _queue()
    _deliberate(receiver, notice, every=every)
    count = sum(queue.drop(place, name, notice_id=notice) for name in _names(receiver))
    print_done(f"{count} dropped.", as_json=as_json, dropped=count)


@group.command("test")
def tell(
    names: Annotated[list[str] | None, typer.Argument(help="Which receivers; all by default.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Tell receivers something that did not happen, at once and once; exit code 1 if one does not take it."""  # noqa: DOC501
    import time

    from masterflow.tasks.notices.transports import NoticeRefused, send

    told = []
    for receiver in _receivers(names):
        try:
            send(_example(receiver), receiver, now_s=time.time())
            told.append({"receiver": receiver.name, "place": receiver.address.place, "error": None})
        except NoticeRefused as error:
            told.append({"receiver": receiver.name, "place": receiver.address.place, "error": str(error)})
    if as_json:
        print_json(told)
    else:
        for one in told:
            result = f"did not take it: {one['error']}" if one["error"] else "took it"
            say(f"{one['receiver']} ({one['place']}) {result}.")
    if any(one["error"] for one in told):
        raise typer.Exit(1)


@group.command()
def secret(*, as_json: AsJson = False) -> None:
    """Make a secret for a webhook, which its receiver has to know as well."""
    import base64
    import secrets

    from masterflow.tasks.notices.receivers import KEY_PREFIX

    made = f"{KEY_PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}"
    if as_json:
        print_json({"secret": made})
    else:
        say(made)


def _queue() -> "NoticeQueue":
    from masterflow.tasks.enqueue import QueueSettings, redis_client
    from masterflow.tasks.notices.queue import NoticeQueue

    settings = QueueSettings()
    return NoticeQueue(redis_client(settings), settings.worker_keys)


def _names(receiver: str | None) -> list[str]:
    """Return the receivers that are meant; one that the settings name no more may have left something."""
    return [receiver] if receiver else [one.name for one in _receivers(None)]


def _receivers(names: list[str] | None) -> "list[Receiver]":
    from masterflow.domain import InputInvalid
    from masterflow.tasks.notices.receivers import NoticeSettings

    settings = NoticeSettings()
    if not settings.receivers:
        raise InputInvalid(
            "Nobody is to be told of anything: set ENRICHMENT_NOTICES, as the workers have it."
        )
    known = [one.name for one in settings.receivers]
    if unknown := [name for name in names or () if name not in known]:
        raise InputInvalid(f"There is no receiver {unknown[0]!r:.60}; there are {', '.join(known)}.")
    return [one for one in settings.receivers if not names or one.name in names]


def _deliberate(receiver: str | None, notice: UUID | None, *, every: bool) -> None:
    from masterflow.domain import InputInvalid

    if receiver is None and notice is None and not every:
        raise InputInvalid("Say which notices: --receiver or --notice, or --all.")


def _told(receiver: str, entry: "Entry") -> dict[str, object]:
    notice = entry.notice.model_dump(mode="json")
    return {"receiver": receiver, "tries": entry.tries, "error": entry.error, "notice": notice}


def _example(receiver: "Receiver") -> "NoticeModel":
    from datetime import UTC, datetime
    from uuid import uuid4

    from masterflow.tasks.notices.notice import Notice

    return Notice(
        id=uuid4(),
        event=receiver.events[0],
        at=datetime.now(UTC),
        flow_id=uuid4(),
        client_account_id=uuid4(),
        engagement_id=uuid4(),
        flow_type="discovery",
        flow_name="Example",
        phase="data_import",
        is_test=True,
    )
