"""Rows of any JSON in any column: what Postgres holds and nobody thought of."""

import json

from hypothesis import strategies as st

LISTS = ("phase_transitions", "error_history", "agent_collaboration_log")
MAPS = (
    "phase_execution_times",
    "memory_usage_metrics",
    "agent_performance_metrics",
    "flow_metadata",
    "flow_persistence_data",
)

#: The types of columns that are not jsonb.
TYPES = {
    **dict.fromkeys(("created_at", "updated_at", "completed_at"), "timestamptz"),
    **dict.fromkeys(("phases_completed", "error_details", "discovered_assets"), "json"),
    **dict.fromkeys(("current_phase", "error_message", "flow_status"), "text"),
    "progress_percentage": "double precision",
}

_DIGITS = "9" * 5_000

#: Documents that ended a reader once, or might.
FORGED = (
    '{"last_progress_update": {"progress": 1e400}}',
    f'{{"last_progress_update": {{"progress": {_DIGITS}, "message": {_DIGITS}}}}}',
    '{"last_progress_update": {"message": ["a", {"b": 1}], "current_phase": {"a": 1}}}',
    '{"_enrichment": {"status": {"latest": ["²²²²²²²²²²²²²²²²", "failed"], "final": 7}, "counts": [1]}}',
    '{"_enrichment": {"counts": {"retries": {"at_least": true}, "attempts:a": 7}}}',
    "[" * 3_000 + "]" * 3_000,
    '{"a": ' * 150 + "1" + "}" * 150,
    '{"data_import": {"execution_time_ms": 1e400, "attempts": 1e30, "completed_at": [1]}}',
    '{"data_import": {"execution_time_ms": -5, "attempts": -1e308, "completed_at": "9999-12-31T23:59:59Z"}}',
    "null",
    '"a text"',
)

#: The place of a backfilled entry whose details were cut away.
PLACE = "1970-01-01T00:00:00.000001+00:00"

_TIMES = ("infinity", "-infinity", "294276-12-31", "4713-01-01 BC", "9999-12-31 23:59:59.999999+00", "now")

_numbers = st.sampled_from(["1e400", "-1e400", _DIGITS, "1e-400", "-0.0", "1e30", "12.5", f"{10**400}.5"])
_known_texts = (
    "",
    "data_import",
    "processing",
    "completed",
    "2026-11-02T09:00:00",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59Z",
    PLACE,
    "\u202e\x1b[31m",
    "🚀" * 60,
    "²" * 20,
)
_texts = st.sampled_from(_known_texts) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
)
_known_names = (
    "id phase status timestamp metadata details error agent activity source message execution_time_ms"
    " attempts completed_at progress_percentage current_phase last_progress_update phase_transitions"
    " _enrichment counts at_least backfill"
)
_names = (st.sampled_from(_known_names.split()) | _texts).map(json.dumps)


def _list_of(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def _object_of(pairs: list[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in pairs)}}}"


#: The text of any JSON.
documents = st.recursive(
    _numbers | _texts.map(json.dumps) | st.sampled_from(["null", "true", "false", *FORGED]),
    lambda inner: (
        st.lists(inner, max_size=4).map(_list_of)
        | st.lists(st.tuples(_names, inner), max_size=4).map(_object_of)
    ),
    max_leaves=10,
)

#: Columns of a master row, each as text that Postgres reads.
masters = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(LISTS, st.lists(documents, max_size=4).map(_list_of) | documents),
        **dict.fromkeys(MAPS, documents),
        **dict.fromkeys(("created_at", "updated_at"), st.sampled_from([*_TIMES, None])),
    },
)

#: Columns of its child.
children = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("crewai_state_data", *(name for name, it in TYPES.items() if it == "json")), documents
        ),
        **dict.fromkeys(("updated_at", "completed_at"), st.sampled_from(_TIMES)),
        "progress_percentage": st.sampled_from(["NaN", "Infinity", "-Infinity", "1e308", "33.3"]),
        "current_phase": _texts.map(lambda text: text[:100]),
        "error_message": _texts,
    },
)
