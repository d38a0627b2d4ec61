"""Hypothesis strategies for events of every kind, with clock ties and few names, so that they collide."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from masterflow.domain import FlowContext
from masterflow.domain.events import (
    AgentCollaborated,
    AgentPerformanceMeasured,
    AnyEvent,
    ErrorOccurred,
    FlowDeclared,
    FlowRetried,
    MemoryMeasured,
    MetadataUpdated,
    PhaseTimed,
    PhaseTransitioned,
    ProgressReported,
    StatusChanged,
    new_event,
)
from masterflow.domain.phases import FLOW_TYPES
from masterflow.domain.statuses import FLOW_STATUSES

_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
_PHASES = st.sampled_from(["data_import", "data_validation", "field mapping", "Übergabe 🚀"])
_KEYS = st.integers(0, 30).map("key {}".format)
_TEXTS = st.sampled_from(["", "a", 'quote " and \\', "x" * 1_500, "line\nbreak", "é" * 900])
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-9, 10**12), st.floats(-1e6, 1e6), _TEXTS)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=3)

_COUNTED = st.one_of(
    st.none(),
    st.builds(
        lambda process, number: {"by": f"process{process}", "number": number},
        st.integers(0, 40),
        st.integers(1, 3_000),
    ),
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
        "execution_time_ms": st.sampled_from([0, 1, 2.5, 10**6]),
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
    FlowDeclared: {
        "flow_type": st.sampled_from(FLOW_TYPES),
        "flow_name": st.one_of(st.none(), _PHASES),
        "flow_configuration": _OBJECTS,
    },
}


#: A source of chance that shrinks as one number, for what is many and has no structure.
chance = st.integers(0, 2**32 - 1).map(Random)


@st.composite
def _templates(draw: st.DrawFn, context: FlowContext) -> AnyEvent:
    kind = draw(st.sampled_from(list(FIELDS)))
    fields = {name: draw(strategy) for name, strategy in FIELDS[kind].items()}
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
                "occurred_at": _BEGIN + timedelta(microseconds=random.randrange(moments)),
            }
        )
        for template in templates
        for _ in range(copies)
    ]


def _legacy_time(draw: st.DrawFn) -> Any:
    at = _BEGIN + timedelta(microseconds=draw(st.integers(0, 10**6)))
    return draw(
        st.sampled_from(
            [
                at.replace(tzinfo=None).isoformat(),
                at.strftime("%Y-%m-%dT%H:%M:%S"),
                at.strftime("%Y-%m-%d %H:%M:%S.%fZ"),
                at.isoformat(),
                "yesterday",
                None,
                7,
            ]
        )
    )


@st.composite
def legacy_lists(draw: st.DrawFn) -> Any:
    """Draw what an older writer, or a mistake, may have left in a list column."""
    entry = {"phase": draw(_PHASES), "status": "completed", "metadata": draw(_OBJECTS)}
    entries = [{**entry, "timestamp": _legacy_time(draw)} for _ in range(draw(st.integers(1, 4)))]
    return draw(
        st.sampled_from(
            [..., None, [], entries, entries * 40, [1, "two", None], {"not": "a list"}, "text", 3]
        )
    )


@st.composite
def legacy_maps(draw: st.DrawFn) -> Any:
    """Draw what an older writer, or a mistake, may have left in a map column."""
    timed = {"execution_time_ms": 5, "recorded_at": _legacy_time(draw), "note": "kept"}
    maps = [{}, {"key 1": 5, "unknown": [1]}, {"data_import": timed, "task": 12}, {"data_import": 7}]
    return draw(st.sampled_from([..., None, *maps, ["not a map"], "text"]))


@st.composite
def legacy_rows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the columns of a row that was there before this project."""
    lists = ("phase_transitions", "error_history", "agent_collaboration_log")
    maps = ("phase_execution_times", "memory_usage_metrics", "agent_performance_metrics", "flow_metadata")
    return {
        **{name: draw(legacy_lists()) for name in lists},
        **{name: draw(legacy_maps()) for name in maps},
        "flow_persistence_data": draw(st.sampled_from([{}, {"raw": [1]}, ["odd"]])),
        "flow_status": draw(st.sampled_from(["initialized", "active", "failed", "completed"])),
        "retry_count": draw(st.integers(0, 3)),
    }
