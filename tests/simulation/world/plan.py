"""What is to happen in a world, all of it drawn from its number before it begins."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

from masterflow.domain.events import (
    AgentCollaborated,
    ErrorOccurred,
    Event,
    FlowRetried,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    StatusChanged,
)

_OF_A_COMPUTER = ("clock", "disk", "power")
_STATUSES = ("processing", "paused", "failed", "completed")
_PHASES = ("import", "mapping", "cleansing")


class Step(NamedTuple):
    """One thing that happens, or a fault that begins and lasts."""

    at: float
    what: str
    #: Which process, or which part of the world.
    target: int | str = 0
    value: Any = None
    lasts_s: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.2f} s" if self.lasts_s else ""
        return f"{self.at:9.4f} {self.what} {self.target} {self.value!r:.100}{lasts}"


@dataclass(frozen=True)
class Plan:
    """A world before it begins."""

    number: int
    computers: int
    orchestrators: int
    workers: int
    #: When the row of each flow comes; None where it never does.
    flows: tuple[float | None, ...]
    has_keys: bool
    settings: dict[str, Any]
    lasts_s: float
    steps: tuple[Step, ...] = field(repr=False)

    def without(self, steps: set[int]) -> "Plan":
        """Return it without the steps at these places."""
        return replace(self, steps=tuple(step for place, step in enumerate(self.steps) if place not in steps))


def plan_of(number: int) -> Plan:
    """Return the world of a number."""
    chance = Random(number)
    computers, lasts_s = chance.choice((1, 1, 2)), chance.choice((3.0, 15.0, 40.0))
    orchestrators, workers = chance.randint(computers, 3), chance.randint(1, 3)
    flows = tuple(_row_at(chance, lasts_s) for _ in range(chance.randint(1, 3)))
    steps = list(_reports(chance, orchestrators, len(flows), lasts_s))
    if flows[0] == 0.0 and chance.random() < 0.5:
        steps.append(Step(chance.random() * lasts_s, "hold", chance.randrange(orchestrators), 0))
    moments = [step.at for step in steps]
    for _ in range(chance.choice((0, 1, 2, 3, 5, 8))):
        # Half of them just before a report.
        at = chance.choice((chance.random() * lasts_s, chance.choice(moments) - 0.000_1))
        steps += chance.choice(_FAULTS)(chance, at, orchestrators, workers)
        steps = [_placed(step, chance.randrange(computers)) for step in steps]
    return Plan(
        number=number,
        computers=computers,
        orchestrators=orchestrators,
        workers=workers,
        flows=flows,
        has_keys=chance.random() < 0.5,
        settings={
            "max_bytes": chance.choice((256_000_000, 256_000_000, 256_000_000, 20_000, 6_000)),
            "segment_bytes": chance.choice((1_000_000, 64_000, 2_000)),
            "fsync": chance.choice(("interval", "interval", "always", "never")),
            "confirm_timeout_s": chance.choice((2.0, 5.0, 30.0)),
        },
        lasts_s=lasts_s,
        steps=tuple(sorted(steps, key=lambda step: step.at)),
    )


def _row_at(chance: Random, lasts_s: float) -> float | None:
    return chance.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, chance.random() * lasts_s, None))


def _placed(step: Step, computer: int) -> Step:
    """Say which computer a fault is of."""
    return step._replace(target=f"{step.target}{computer}") if step.target in _OF_A_COMPUTER else step


def _reports(chance: Random, orchestrators: int, flows: int, lasts_s: float) -> Iterator[Step]:
    for _ in range(chance.randint(1, 5)):
        at, process = chance.random() * lasts_s, chance.randrange(orchestrators)
        pace_s = chance.choice((0.0, 0.001, 0.05, 0.5))
        for place in range(chance.choice((1, 5, 20, 60))):
            kind, fields = chance.choice(_REPORTS)(chance)
            yield Step(at + place * pace_s, "report", process, (chance.randrange(flows), kind, fields))


def _text(chance: Random) -> str:
    return "x" * chance.choice((3, 3, 30, 600))


_REPORTS: tuple[Callable[[Random], tuple[type[Event], dict[str, Any]]], ...] = (
    lambda chance: (
        PhaseTransitioned,
        {"phase": chance.choice(_PHASES), "status": chance.choice(("processing", "completed", "failed"))},
    ),
    lambda chance: (
        PhaseTimed,
        {"phase": chance.choice(_PHASES), "execution_time_ms": float(chance.randrange(9_000))},
    ),
    lambda chance: (ErrorOccurred, {"phase": chance.choice(_PHASES), "error": _text(chance)}),
    lambda _: (FlowRetried, {}),
    lambda chance: (
        MetadataUpdated, {"updates": {f"key{chance.randrange(5)}": _text(chance)}},
    ),
    lambda chance: (AgentCollaborated, {"entry": {"agent": "mapper", "text": _text(chance)}}),
    lambda chance: (StatusChanged, {"status": chance.choice(_STATUSES)}),
)  # fmt: skip


def _lasting(chance: Random) -> float:
    return chance.choice((0.3, 2.0, 10.0, 60.0)) * (0.5 + chance.random())


def _kill(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del workers
    slot = chance.randrange(orchestrators)
    yield Step(at, "kill", slot, chance.choice((0, 0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55)))
    yield Step(at + 1.2 + 3 * chance.random() ** 2, "start", slot)


def _exit(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del workers
    slot = chance.randrange(orchestrators)
    yield Step(at, "exit", slot)
    yield Step(at + 2.5 + 3 * chance.random() ** 2, "start", slot)


def _freeze(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del workers
    yield Step(at, "freeze", chance.randrange(orchestrators), None, _lasting(chance))


def _freeze_worker(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del orchestrators
    yield Step(at, "freeze_worker", chance.randrange(workers), None, _lasting(chance))


def _kill_worker(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del orchestrators
    slot = chance.randrange(workers)
    yield Step(at, "kill_worker", slot, chance.random())
    yield Step(at + _lasting(chance), "start_worker", slot)


def _no_workers(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del orchestrators
    lasts_s = _lasting(chance)
    for slot in range(workers):
        yield Step(at, "kill_worker", slot, 0.0)
        yield Step(at + lasts_s, "start_worker", slot)


def _clock(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del orchestrators, workers
    jump_s = chance.choice((-3600.0, -60.0, -2.0, 200.0, 400.0, 3600.0, 86_400.0))
    yield Step(at, "wall_error_s", "clock", jump_s, _lasting(chance))


def _flush(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del orchestrators, workers
    yield Step(at, "empty", chance.choice(("redis", "broker")))


def _power(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
    del workers
    yield Step(at, "cut", "power")
    for slot in range(orchestrators):
        yield Step(at + 1.0 + 3 * chance.random() ** 2, "start", slot)


def _set(part: str, name: str, *values: Any) -> Callable[[Random, float, int, int], Iterator[Step]]:
    def fault(chance: Random, at: float, orchestrators: int, workers: int) -> Iterator[Step]:
        del orchestrators, workers
        yield Step(at, name, part, chance.choice(values), _lasting(chance))

    return fault


_FAULTS: tuple[Callable[[Random, float, int, int], Iterator[Step]], ...] = (
    _kill, _kill, _kill, _exit, _freeze, _freeze_worker, _kill_worker, _no_workers, _clock, _clock,
    _flush, _flush, _power, _power,
    _set("broker", "loss", 0.1, 0.5, 1.0),
    _set("broker", "repetition", 0.3, 1.0),
    _set("broker", "disorder", 0.5, 1.0),
    _set("broker", "delay_s", 0.5, 5.0, 40.0),
    _set("broker_network", "is_down", True),
    _set("broker_network", "deafness", 0.3, 1.0),
    _set("redis_network", "is_down", True),
    _set("redis_network", "deafness", 0.3, 1.0),
    _set("redis_network", "slowness_s", 0.2),
    _set("database", "is_down", True),
    _set("database", "hang_s", 3.0, 30.0),
    _set("database", "deafness", 0.3, 1.0),
    _set("database", "refusal", 0.2),
    _set("disk", "is_full", True),
    _set("disk", "is_sick", True),
    _set("disk", "has_no_descriptors", True),
)  # fmt: skip
