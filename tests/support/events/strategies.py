"""Hypothesis strategies for events of every kind, with clock ties and few names, so that they collide."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ControlRequested,
    DeadlinePassed,
    ErrorOccurred,
    FlowDeclared,
    FlowLost,
    FlowRetried,
    FlowSeen,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    QuestionAsked,
    QuestionSettled,
    StatusChanged,
    UsageReported,
    new_event,
)
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.statuses import FLOW_STATUSES
from tests.support.events.crowds import CROWDS, used_by
from tests.support.events.texts import NAMES, ODD_TEXTS, long_text

BEGIN: Final = datetime(2026, 11, 1, tzinfo=UTC)

#: Times at which a form of them changes: years of four digits, seconds of 16, signs.
_AGES: Final = (
    datetime(1, 1, 1, 0, 1, tzinfo=UTC),
    datetime(1950, 2, 28, 23, 59, 59, 999_990, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC),
    BEGIN,
    BEGIN,
    datetime(2286, 11, 20, 17, 46, 39, 999_998, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 58, tzinfo=UTC),
)

_PHASES = st.sampled_from(
    ["data_import", "data_validation", "field mapping", "Übergabe 🚀", 'a "b" \\', "\x01" * 99, "é" * 100]
)
_KEYS = st.sampled_from(NAMES)


#: A source of chance that shrinks as one number, for what is many and has no structure.
chance = st.integers(0, 2**32 - 1).map(Random)

_TEXTS = st.one_of(st.sampled_from(ODD_TEXTS), chance.map(long_text))
_NUMBERS = st.one_of(
    st.integers(-9, 10**12), st.floats(-1e6, 1e6), st.sampled_from([1e-29, 1e22, 10**29, -0.0])
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_VALUES = st.one_of(
    _SCALARS,
    st.lists(_SCALARS, max_size=3),
    st.dictionaries(_KEYS, _SCALARS, max_size=3),
    st.tuples(_TEXTS, st.integers(1, 300)).map(lambda pair: [pair[0][:9]] * pair[1]),
    st.tuples(_TEXTS, st.integers(1, 60)).map(
        lambda pair: {f"{name}{pair[0][:30]}": pair[0][:30] for name in range(pair[1])}
    ),
)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=3)

_SHORT_NAMES = st.sampled_from(["ana", "Übergabe 🚀", 'a "b" \\', "é" * 130, "x" * 500])
_SHORT_VALUES = st.one_of(
    st.none(), st.booleans(), _NUMBERS, st.sampled_from(["yes", 'no "\\"', ["é" * 300], {"a": [1, None]}])
)

_COUNTED = st.one_of(
    st.none(),
    st.builds(
        lambda process, number: {"by": f"process{process}", "number": number},
        st.integers(0, 40),
        st.integers(1, 3_000),
    ),
)

#: What a process has counted only grows, and each by what it reports.
_USED = st.builds(
    used_by, st.integers(0, 40), st.integers(1, 3), st.sampled_from([3, 4, 700]), st.integers(3, 3_000)
)

#: What each kind of event is made of, besides what all have.
FIELDS: dict[type[Any], dict[str, st.SearchStrategy[Any]]] = {
    PhaseTransitioned: {
        "phase": _PHASES,
        "status": st.sampled_from(["processing", "completed", "failed"]),
        "metadata": _OBJECTS,
    },
    PhaseTimed: {
        "phase": _PHASES,
        "execution_time_ms": st.sampled_from([0, 1, 2.5, 1e-9, 10**6, 1e12]),
        "counted": _COUNTED,
    },
    AgentCollaborated: {"entry": _OBJECTS},
    MemoryMeasured: {"metrics": _OBJECTS},
    AgentPerformanceMeasured: {"metrics": st.dictionaries(_KEYS, _OBJECTS, max_size=3)},
    ErrorOccurred: {"phase": _PHASES, "error": _TEXTS, "details": _OBJECTS},
    FlowRetried: {"counted": _COUNTED},
    MetadataUpdated: {"updates": _OBJECTS},
    StatusChanged: {
        "status": st.sampled_from(FLOW_STATUSES),
        "reopens": st.booleans(),
        "metadata": _OBJECTS,
    },
    ProgressReported: {"snapshot": _OBJECTS},
    UsageReported: {
        "agent": st.sampled_from(["Schema Expert", "usage", "", 'q " \\', "é" * 90, "legacy"]),
        "model": st.sampled_from(["m", "gpt", "", "🚀"]),
    },
    FlowDeclared: {
        "flow_type": st.sampled_from(FLOW_TYPES),
        "flow_name": st.one_of(st.none(), _PHASES),
        "flow_configuration": _OBJECTS,
    },
    FlowLost: {
        "cause": st.sampled_from(["witnessed", "goodbye", "silent"]),
        "holder": _SHORT_NAMES,
        "host": _SHORT_NAMES,
        "last_sign_at": st.sampled_from([BEGIN, BEGIN + timedelta(days=9)]),
        "phase": st.one_of(st.none(), _PHASES),
    },
    FlowSeen: {"holder": _SHORT_NAMES},
    DeadlinePassed: {
        "phase": st.one_of(st.none(), _PHASES),
        "deadline_at": st.sampled_from([BEGIN, BEGIN + timedelta(microseconds=3)]),
        "started_at": st.one_of(st.none(), st.just(BEGIN)),
    },
    ControlRequested: {
        "action": st.sampled_from(["cancel", "pause", "resume", "answer", "fail"]),
        "by": _SHORT_NAMES,
        "reason": st.one_of(st.none(), _TEXTS),
        "question_id": st.sampled_from([None, UUID(int=1), UUID(int=2)]),
        "answer": st.one_of(_SHORT_VALUES, chance.map(lambda random: "é" * random.randrange(999))),
    },
    QuestionAsked: {
        "key": _SHORT_NAMES,
        "question": _TEXTS.map(lambda text: f"?{text}"),
        "options": st.lists(_SHORT_NAMES, max_size=5),
        "answer_schema": st.one_of(st.none(), st.just({"type": "string", "description": "x" * 999})),
        "expires_at": st.one_of(st.none(), st.just(BEGIN)),
        "has_default": st.booleans(),
        "default": _VALUES,
        "phase": st.one_of(st.none(), _PHASES),
    },
    QuestionSettled: {
        "question_id": st.sampled_from([UUID(int=1), UUID(int=2)]),
        "outcome": st.sampled_from(["answered", "timed_out", "withdrawn", "refused"]),
        "request_id": st.sampled_from([None, UUID(int=1), UUID(int=2)]),
        "value": _SHORT_VALUES,
    },
}


@st.composite
def _templates(draw: st.DrawFn, context: FlowContext) -> AnyEvent:
    kind = draw(st.sampled_from(list(FIELDS)))
    fields = {name: draw(strategy) for name, strategy in FIELDS[kind].items()}
    if kind is UsageReported:
        fields |= draw(_USED)
    event: AnyEvent = new_event(kind, context, UUID(int=0), **fields)
    return event


@st.composite
def event_sets(draw: st.DrawFn, context: FlowContext) -> list[AnyEvent]:
    """Draw up to 360 events of a flow that is to be set, in so few microseconds that many tie."""
    templates = draw(st.lists(_templates(context), min_size=1, max_size=12))
    copies = draw(st.sampled_from([1, 1, 3, 30]))
    moments = draw(st.sampled_from([1, 5, 1_000]))
    random = draw(chance)
    return [
        template.model_copy(
            update={
                "event_id": UUID(int=random.getrandbits(128)),
                "occurred_at": BEGIN + timedelta(microseconds=random.randrange(moments)),
            }
        )
        for template in templates
        for _ in range(copies)
    ]


#: An id that machines of old make shares its end with all others of that machine.
_IDS: Final[tuple[Callable[[Random], UUID], ...]] = (
    lambda random: UUID(int=random.getrandbits(128)),
    lambda random: UUID(f"{random.getrandbits(32):08x}-{random.getrandbits(16):04x}-1000-8000-0123456789ab"),
    lambda random: UUID(
        f"019a3e1f-{random.getrandbits(16):04x}-7{random.getrandbits(12):03x}-8000-{random.getrandbits(48):012x}"
    ),
)

#: Without numbers, an event counts once within the newest 256 of its kind: that is all the law promises.
_MOST_WITHOUT_NUMBER: Final = 250


@st.composite
def wide_event_sets(draw: st.DrawFn, context: FlowContext) -> list[AnyEvent]:
    """Draw events of all ages, ids and versions: a few that shrink well, or crowds that reach the bounds."""
    events = draw(st.lists(_templates(context), min_size=1, max_size=8))
    random = draw(chance)
    crowds = draw(st.lists(st.sampled_from(list(CROWDS)), max_size=2)) if draw(st.integers(0, 2)) == 2 else []
    if "phases" in crowds:
        # The attempts of a phase that leaves the newest 256 and comes back are counted anew.
        events, crowds = [event for event in events if not isinstance(event, PhaseTimed)], ["phases"]
    events = [event for event in events for _ in range(random.choice((1, 1, 3)))]
    events += [_event(context, kind, fields) for name in crowds for kind, fields in CROWDS[name](random)]
    ages = draw(st.one_of(st.just([BEGIN]), st.lists(st.sampled_from(_AGES), min_size=1, max_size=3)))
    moments = draw(st.sampled_from([1, 5, 1_000, 10**7]))
    new_id = draw(st.sampled_from(_IDS))
    return list(_few_without_number(_scattered(events, random, ages, moments, new_id)))


def crowded_events(context: FlowContext, crowd: str, random: Random) -> list[AnyEvent]:
    """Return a crowd within a few microseconds."""
    events = [_event(context, kind, fields) for kind, fields in CROWDS[crowd](random)]
    return list(_few_without_number(_scattered(events, random, [BEGIN], 5, random.choice(_IDS))))


def _scattered(
    events: Sequence[AnyEvent],
    random: Random,
    ages: Sequence[datetime],
    moments: int,
    new_id: Callable[[Random], UUID],
) -> Iterator[AnyEvent]:
    """Yield the events at times and with ids of chance."""
    for event in events:
        at = random.choice(ages) + timedelta(microseconds=random.randrange(moments))
        version = 4 if getattr(event, "counted", None) else random.choice((1, 2, 3, 4))
        yield event.model_copy(
            update={"event_id": new_id(random), "occurred_at": at, "schema_version": version}
        )


def _event(context: FlowContext, kind: type[Any], fields: dict[str, Any]) -> AnyEvent:
    """Make an event of fields that are as the entrance leaves them."""
    event: AnyEvent = kind.model_construct(
        event_id=UUID(int=0),
        flow_id=UUID(int=0),
        occurred_at=BEGIN,
        schema_version=4,
        **context.__dict__,
        **fields,
    )
    return event


def _few_without_number(events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
    seen = {FlowRetried: 0, PhaseTimed: 0}
    for event in events:
        if type(event) in seen and event.counted is None:
            seen[type(event)] += 1
            if seen[type(event)] > _MOST_WITHOUT_NUMBER:
                continue
        yield event
