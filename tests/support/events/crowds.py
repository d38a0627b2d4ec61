"""So many events of one sort that they reach a bound of the row: entries, keys, counters, phases."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final
from uuid import UUID

from masterflow.domain.counting import Counted
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    ControlRequested,
    DeadlinePassed,
    ErrorOccurred,
    FlowLost,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    UsageReported,
)
from masterflow.domain.payload.safe import safe_map, safe_object, safe_text
from masterflow.domain.statuses import FLOW_STATUSES
from masterflow.domain.usage.amounts import Usage, UsageCounted
from tests.support.events.texts import NAMES, ODD_TEXTS, long_text

#: A kind of event and its fields, as the entrance leaves them.
Fields = tuple[type[Any], dict[str, Any]]

_PHASES: Final = ("data_import", "field mapping", "Übergabe 🚀", 'a "b" \\', "\x01" * 99, "é" * 100)


@cache
def _values() -> list[Any]:
    random = Random(7)
    values: list[Any] = [None, True, 0, 2.5, 1e-9, 10**29, *ODD_TEXTS]
    values += [long_text(random) for _ in range(60)]
    for text in [*ODD_TEXTS, "x" * 30, "é" * 30, "\x02" * 30]:
        short = text[:30]
        values += [[short] * random.randint(1, 400), [[short, {short: 1}]] * random.randint(1, 60)]
        values.append(
            {f"{number}{short}": random.choice([short, 1, None]) for number in range(random.randint(1, 150))}
        )
    return [safe_map({"value": value})["value"] for value in values]


@cache
def _objects(max_bytes: int) -> list[dict[str, Any]]:
    random = Random(max_bytes)
    return [
        safe_object(
            {random.choice(NAMES): random.choice(_values()) for _ in range(random.randint(0, 3))},
            max_bytes=max_bytes,
        )
        for _ in range(80)
    ]


@cache
def _keys() -> list[str]:
    return list(safe_map(dict.fromkeys([*NAMES, *(f"key {number}" for number in range(30, 70))])))


def _entries(random: Random) -> Iterator[Fields]:
    """Yield entries of one list, some of the size at which they are cut, past the newest 50 or 100."""
    kind = random.choice((PhaseTransitioned, ErrorOccurred, AgentCollaborated))
    for _ in range(random.choice((160, 49, 51, 99, 101, 160))):
        phase = {"phase": random.choice(_PHASES)}
        if kind is PhaseTransitioned:
            metadata = random.choice(_objects(3_300))
            yield (
                kind,
                phase
                | {"status": random.choice(("processing", "completed", "é" * 40)), "metadata": metadata},
            )
        elif kind is ErrorOccurred:
            error = safe_text(random.choice(ODD_TEXTS) + long_text(random), max_chars=1_500, max_bytes=1_600)
            yield kind, phase | {"error": error, "details": random.choice(_objects(1_900))}
        else:
            entry = {"agent": random.choice(ODD_TEXTS[2:5])} | random.choice(_objects(3_800))
            yield (
                kind,
                {"entry": {name: part for name, part in entry.items() if name not in ("id", "timestamp")}},
            )


def _short_entries(random: Random) -> Iterator[Fields]:
    """Yield entries that are appended, since none of them is ever cut, past the newest 100."""
    kind, fields = random.choice(
        (
            (PhaseTransitioned, {"phase": "data_import", "status": "processing", "metadata": {}}),
            (AgentCollaborated, {"entry": {"agent": "a"}}),
        )
    )
    for _ in range(160):
        yield kind, fields


def _map_keys(random: Random) -> Iterator[Fields]:
    """Yield values of up to 90 keys, of all sizes, several times each."""
    kind, name = random.choice(
        ((MemoryMeasured, "metrics"), (AgentPerformanceMeasured, "metrics"), (MetadataUpdated, "updates"))
    )
    keys = _keys() + [f"{number} more" for number in range(random.choice((60, 0, 60)))]
    for _ in range(random.randint(5, 40)):
        chosen = random.sample(keys, random.choice((1, 2, 17, 40)))
        yield kind, {name: {key: _value(random) for key in chosen}}
    if kind is MetadataUpdated:
        for _ in range(3):
            yield ProgressReported, {"snapshot": random.choice(_objects(3_300))}


def _value(random: Random) -> Any:
    return random.randrange(9) if random.random() < 0.4 else random.choice(_values())


def _counters(random: Random) -> Iterator[Fields]:
    """Yield what more processes count than a row keeps apart, with numbers that tie."""
    processes = random.choice((31, 32, 33, 60))
    most = random.choice((1, 3, 2**53))
    phases = random.sample(_PHASES, random.choice((1, 2)))
    for _ in range(random.choice((40, 120))):
        counted = Counted(by=f"process-{random.randrange(processes):02d}", number=random.randint(1, most))
        if random.random() < 0.5:
            yield FlowRetried, {"counted": counted}
        else:
            yield (
                PhaseTimed,
                {
                    "phase": random.choice(phases),
                    "execution_time_ms": random.choice((1.0, 2.5)),
                    "counted": counted,
                },
            )


def used_by(process: int, times: int, by_agent: int, in_flow: int) -> dict[str, Any]:
    """Return what a process reports that uses the same each time: how often now, and so far."""
    each = (1, process, 3 * process, process % 3 * 10 ** (process % 9), process % 2)
    used, agent, flow = (Usage(*(times * part for part in each)) for times in (times, by_agent, in_flow))
    return {"used": used, "counted": UsageCounted(by=f"process-{process:02d}", agent=agent, flow=flow)}


def _usage(random: Random) -> Iterator[Fields]:
    """Yield the use of more models by more processes than a row keeps apart."""
    processes, models = random.choice(((15, 40), (16, 33), (17, 3), (33, 1), (60, 40)))
    for _ in range(random.choice((60, 400))):
        names = {"agent": random.choice(("é" * 80, "a", "b")), "model": f"model {random.randrange(models)}"}
        yield (
            UsageReported,
            names
            | used_by(
                random.randrange(processes), random.randint(1, 3), random.randint(3, 9), random.randint(3, 99)
            ),
        )


def _without_number(random: Random) -> Iterator[Fields]:
    for _ in range(random.choice((20, 120))):
        if random.random() < 0.5:
            yield FlowRetried, {"counted": None}
        else:
            yield PhaseTimed, {"phase": random.choice(_PHASES), "execution_time_ms": 1.0, "counted": None}


def _phases(random: Random) -> Iterator[Fields]:
    """Yield the times of more phases than a row keeps, each once."""
    for number in range(random.choice((255, 257, 290))):
        yield (
            PhaseTimed,
            {
                "phase": f"phase {number}",
                "execution_time_ms": random.choice((1.0, 2.5)),
                "counted": Counted(by="process-1", number=random.randint(1, 9)),
            },
        )


def _statuses(random: Random) -> Iterator[Fields]:
    words = random.sample(FLOW_STATUSES, random.choice((2, 4)))
    for _ in range(random.choice((4, 30))):
        if random.random() < 0.2:
            yield FlowRetried, {"counted": None}
        else:
            metadata = {"resume_data": _value(random)} if random.random() < 0.2 else {}
            yield (
                StatusChanged,
                {"status": random.choice(words), "reopens": random.random() < 0.3, "metadata": metadata},
            )


def _control(random: Random) -> Iterator[Fields]:
    """Yield more requests, answers and questions than a row keeps, of all sizes, and more keys."""
    questions = [UUID(int=random.getrandbits(128)) for _ in range(random.choice((2, 45)))]
    for number in range(random.choice((20, 90, 220))):
        short = random.choice(("ana", "é" * 60))
        long = random.choice(("ok", "x" * 1_990, "é" * 700, {"a": [1, None]}))
        match random.randrange(7):
            case 0:
                action = random.choice(("cancel", "pause", "resume", "fail"))
                reason = random.choice((None, "x" * 490, "é" * 250))
                yield (
                    ControlRequested,
                    {"action": action, "by": short, "reason": reason, "question_id": None, "answer": None},
                )
            case 1 | 2:
                said = {"by": short, "reason": None, "question_id": random.choice(questions), "answer": long}
                yield ControlRequested, {"action": "answer"} | said
            case 3:
                yield (
                    QuestionAsked,
                    {
                        "key": short,
                        "question": random.choice(("?", "é" * 590, "x" * 61, "x" * 60, "\x02" * 190)),
                        "options": random.choice(((), ("x" * 100,) * 20, ("yes", "no"))),
                        "answer_schema": random.choice((None, {"description": "x" * 1_400})),
                        "expires_at": None,
                        "has_default": True,
                        "default": "x" * random.choice((1, 250)),
                        "phase": random.choice(_PHASES),
                    },
                )
            case 4:
                outcome = random.choice(("answered", "timed_out", "refused"))
                said = {"question_id": random.choice(questions), "request_id": None, "value": long}
                yield QuestionSettled, said | {"outcome": outcome}
            case 5:
                at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=random.randrange(9))
                yield DeadlinePassed, {"phase": random.choice(_PHASES), "deadline_at": at, "started_at": at}
            case _:
                yield MetadataUpdated, {"updates": {f"key {number} {part}": long for part in "abc"}}
    at = datetime(2026, 11, 1, tzinfo=UTC)
    yield FlowLost, {"cause": "silent", "holder": "é" * 60, "host": "h", "last_sign_at": at, "phase": None}


CROWDS: Final[dict[str, Callable[[Random], Iterator[Fields]]]] = {
    "entries": _entries,
    "short entries": _short_entries,
    "keys": _map_keys,
    "counters": _counters,
    "usage": _usage,
    "without number": _without_number,
    "phases": _phases,
    "statuses": _statuses,
    "control": _control,
}
