"""Looks pinned versions up in OSV, a database of known vulnerabilities: run it with `python -m`.

It needs no package beside the standard library, and tells the database names and versions alone.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from masterflow.domain.shown.harmless import harmless
from masterflow.scripts.terminal.entrance import run_program

#: What the program ends with. A check that could not be made is no check that found nothing.
NOTHING_KNOWN: Final = 0
FOUND: Final = 1
NOT_LOOKED_UP: Final = 3

_DATABASE: Final = "https://api.osv.dev"

# What OSV takes in one question.
_MOST_ASKED: Final = 1_000
_MOST_PAGES: Final = 100
_MOST_ANSWER_BYTES: Final = 16_000_000

Pin = tuple[str, str]


class NotLookedUp(Exception):
    """The database gave no answer that can be used; the message says why."""


class LockUnreadable(Exception):
    """A lock cannot be read, or pins nothing; the message says which."""


def pinned(lock: Path) -> list[Pin]:
    """Return the names and versions of a lock, for every platform.

    Raises:
        LockUnreadable: it is not there, pins nothing, or has a line that pins no version.
    """
    try:
        text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    except (OSError, UnicodeDecodeError) as error:
        raise LockUnreadable(f"{lock} cannot be read: {error}") from error
    pins: list[Pin] = []
    for line in text.splitlines():
        written = line.split(" #")[0].split(" --hash")[0].strip()
        if not written or written.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(written)
        except InvalidRequirement as error:
            raise LockUnreadable(f"{lock} has a line that is no requirement: {written!r}") from error
        match [*requirement.specifier]:
            case [one] if one.operator == "==" and "*" not in one.version:
                pins.append((canonicalize_name(requirement.name), one.version))
            case _:
                raise LockUnreadable(f"{lock} does not pin {requirement.name} to one version: {written!r}")
    if not pins:
        raise LockUnreadable(f"{lock} pins nothing")
    return pins


def known_vulnerabilities(pins: Iterable[Pin], database: str, *, timeout_s: float) -> dict[Pin, list[str]]:
    """Return what the database knows against each version that it knows something against.

    Raises:
        NotLookedUp: it cannot be reached, refuses, or answers with something else.
    """
    found: dict[Pin, set[str]] = {}
    every = sorted(set(pins))
    for start in range(0, len(every), _MOST_ASKED):
        waiting: list[tuple[Pin, str]] = [(pin, "") for pin in every[start : start + _MOST_ASKED]]
        for _ in range(_MOST_PAGES):
            following = []
            for pin, ids, page in _ask(waiting, database, timeout_s=timeout_s):
                if ids:
                    found.setdefault(pin, set()).update(ids)
                if page:
                    following.append((pin, page))
            waiting = following
            if not waiting:
                break
        else:
            raise NotLookedUp(f"{database} has no end of pages")
    return {pin: sorted(found[pin]) for pin in sorted(found)}


def _ask(
    asked: Sequence[tuple[Pin, str]], database: str, *, timeout_s: float
) -> Iterator[tuple[Pin, list[str], str]]:
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        | ({"page_token": page} if page else {})
        for (name, version), page in asked
    ]
    answer = _answer(f"{database.rstrip('/')}/v1/querybatch", {"queries": queries}, timeout_s=timeout_s)
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(asked):
        raise NotLookedUp(f"{database} answers with something else than a result for each version")
    for (pin, _), result in zip(asked, results, strict=True):
        match result:
            case {"vulns": list(vulns)} if all(_is_named(it) for it in vulns):
                ids = [it["id"] for it in vulns]
            case {"vulns": _}:
                raise NotLookedUp(f"{database} answers with vulnerabilities that have no id")
            case dict():
                ids = []
            case _:
                raise NotLookedUp(f"{database} answers with something else than a result for each version")
        yield pin, ids, str(result.get("next_page_token") or "")


def _is_named(vulnerability: Any) -> bool:
    return isinstance(vulnerability, dict) and isinstance(vulnerability.get("id"), str)


def _answer(url: str, question: Any, *, timeout_s: float) -> Any:
    if not url.startswith(("https://", "http://")):
        raise NotLookedUp(f"{url} is no address that begins with https:// or http://")
    try:
        request = Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})  # noqa: S310
        with urlopen(request, timeout=timeout_s) as response:  # noqa: S310  the scheme is checked above
            body = response.read(_MOST_ANSWER_BYTES + 1)
            if len(body) > _MOST_ANSWER_BYTES:
                raise NotLookedUp(f"{url} answers with more than {_MOST_ANSWER_BYTES:,} bytes")
            return json.loads(body)
    except HTTPError as error:
        error.close()
        raise NotLookedUp(f"{url} answers {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise NotLookedUp(f"{url} is not reachable: {getattr(error, 'reason', error)}") from error
    except (ValueError, RecursionError) as error:
        raise NotLookedUp(f"{url} is no address, or answers with something that is no JSON") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is known against the versions of some locks; return what the program ends with."""
    parser = ArgumentParser(
        prog="python -m masterflow.scripts.maintenance.vulnerabilities",
        description="Look pinned versions up in OSV, a database of known vulnerabilities.",
        epilog=(
            f"Ends with {NOTHING_KNOWN} if nothing is known, {FOUND} if something is, 2 for a lock that"
            f" cannot be read, and {NOT_LOOKED_UP} if no database answered, so that nothing was looked up."
        ),
    )
    parser.add_argument("locks", nargs="*", type=Path, default=[Path("requirements.txt")], metavar="LOCK")
    parser.add_argument(
        "--database", default=_DATABASE, help="an address that speaks OSV's API (%(default)s)"
    )
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for each answer (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        pins = {pin for lock in options.locks for pin in pinned(lock)}
        found = known_vulnerabilities(pins, options.database, timeout_s=options.timeout)
    except LockUnreadable as error:
        _say(f"{error}.", sys.stderr)
        return 2
    except NotLookedUp as error:
        _say(f"Nothing was looked up: {error}. This says nothing about the {len(pins)} versions.", sys.stderr)
        return NOT_LOOKED_UP
    for (name, version), ids in found.items():
        _say(f"{name} {version}: {', '.join(ids)}", sys.stdout)
    _say(f"{options.database} knows of {len(found) or 'none'} among {len(pins)} versions.", sys.stdout)
    return FOUND if found else NOTHING_KNOWN


def _say(line: str, stream: TextIO) -> None:
    # What a database answers, and a lock holds, was written by others.
    stream.write(f"{harmless(line)}\n")


if __name__ == "__main__":
    run_program(main)
