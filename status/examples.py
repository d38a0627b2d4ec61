"""What the OpenAPI document shows: one flow as each operation tells it, without nulls: FastAPI drops them."""

from typing import Any, Final

_FLOW_ID: Final = "0198c4a2-7d5e-7c3a-9b0e-3f8f6f1f2a11"
_PAUSED_AT: Final = "2026-11-02T09:31:07.120394Z"
_APPROVAL: Final = "field_mapping_approval"

SUMMARY: Final[dict[str, Any]] = {
    "flow_id": _FLOW_ID,
    "flow_type": "discovery",
    "flow_name": "Discovery of servers.csv",
    "status": "waiting_for_approval",
    "status_since": _PAUSED_AT,
    "current_phase": _APPROVAL,
    "progress_percentage": 40.0,
    "message": "Please check 12 mappings.",
    "phases": {"data_import": "completed", _APPROVAL: "paused"},
    "retry_count": 1,
    "error_count": 1,
    "duration_s": 67.1,
    "cost_usd": 0.00117,
    "is_over_budget": False,
    "user_id": "ann",
    "engagement_id": "0198c4a2-0000-7000-8000-000000000002",
    "created_at": "2026-11-02T09:30:00.000000Z",
    "updated_at": "2026-11-02T09:31:07.131002Z",
    "skipped_events": 0,
    "at_least": ["retry_count"],
}

_HERE: Final = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAZfR9Yf-AAAAAAz"

PAGE: Final[dict[str, Any]] = {
    "flows": [SUMMARY],
    "next_cursor": f"AhugxHcCnV7zAAMDnB7_5AABmMSifV58OpsOP49vHyoR{_HERE}",
    "previous_cursor": f"AxugxHcCnV7zAAMDnB7_5AABmMSifV58OpsOP49vHyoR{_HERE}",
    "searched": 51,
    "complete": False,
    "sorted_among": 2000,
}

_REQUEST: Final[dict[str, Any]] = {
    "id": "0198c4a2-8f10-7000-8000-000000000004",
    "action": "resume",
    "by": "bob",
    "at": "2026-11-02T09:30:20.000000Z",
    "reason": "The files are there now.",
}

_QUESTION: Final[dict[str, Any]] = {
    "id": "5b2f0f0e-6a52-5c3c-9d5b-6f0f4b1c7a10",
    "key": "mapping",
    "question": "Approve the mapping of 12 columns?",
    "options": ["approve", "reject"],
    "phase": _APPROVAL,
    "asked_at": _PAUSED_AT,
    "expires_at": "2026-11-03T09:31:07.120394Z",
    "has_default": True,
    "default": "reject",
    "state": "open",
}

STATUS: Final[dict[str, Any]] = {
    **SUMMARY,
    "progress_note": "Its child row says 33.3 %.",
    "liveness": "lost",
    "last_sign_at": _PAUSED_AT,
    "last_sign_age_s": 95.2,
    "lost": {
        "cause": "witnessed",
        "host": "worker-7",
        "last_sign_at": _PAUSED_AT,
        "phase": _APPROVAL,
    },
    "is_overdue": True,
    "overdue": [{"phase": "data_import", "deadline_at": _PAUSED_AT}],
    "at_least": ["attempts:data_import"],
    "phase_details": [
        {
            "phase": "data_import",
            "status": "completed",
            "execution_time_ms": 1200.5,
            "attempts": 2,
            "completed_at": "2026-11-02T09:31:05.310022+00:00",
        }
    ],
    "last_progress_update": {"progress_percentage": 40, "message": "Please check 12 mappings."},
    "transition_count": 6,
    "error_count": 1,
    "collaboration_count": 3,
    "usage": {
        "calls": 4,
        "input_tokens": 5120,
        "output_tokens": 840,
        "cost_usd": 0.00117,
        "unpriced_calls": 1,
        "at_least": False,
        "agents": [
            {
                "agent": "Schema Expert",
                "models": ["small-model"],
                "calls": 3,
                "input_tokens": 4608,
                "output_tokens": 800,
                "cost_usd": 0.00117,
                "unpriced_calls": 0,
                "at_least": False,
            }
        ],
        "by_agent": [
            {
                "agent": "Schema Expert",
                "model": "small-model",
                "calls": 3,
                "input_tokens": 4608,
                "output_tokens": 800,
                "cost_usd": 0.00117,
                "unpriced_calls": 0,
                "at_least": False,
            }
        ],
        "budget_usd": 0.5,
        "is_over_budget": False,
    },
    "waiting_for_approval": {
        "phase": _APPROVAL,
        "message": "Please check 12 mappings.",
        "since": _PAUSED_AT,
    },
    "requests": [_REQUEST],
    "questions": [_QUESTION],
    "possible_actions": ["cancel"],
    "child_flow_status": {
        "status": "active",
        "current_phase": _APPROVAL,
        "progress_percentage": 33.3,
        "completed_phases": 2,
        "phases": 6,
        "discovered_assets": 240,
        "updated_at": "2026-11-02T09:31:06.020931Z",
    },
}

TIMELINE: Final[dict[str, Any]] = {
    "flow_id": _FLOW_ID,
    "transition_count": 100,
    "matching": 100,
    "at_least": ["transition_count"],
    "bars": [
        {
            "phase": _APPROVAL,
            "attempt": 1,
            "status": "completed",
            "started_at": "2026-11-02T09:31:06.000000Z",
            "ended_at": "2026-11-02T09:36:10.000000Z",
            "execution_time_ms": 4120.0,
            "message": "Please check 12 mappings.",
            "waits": [
                {"started_at": _PAUSED_AT, "ended_at": "2026-11-02T09:36:07.000000Z", "for_approval": True}
            ],
        }
    ],
    "transitions": [
        {
            "id": "0198c4a2-7f6a-7000-8000-000000000001",
            "phase": _APPROVAL,
            "status": "paused",
            "timestamp": "2026-11-02T09:31:07.120394+00:00",
            "metadata": {"awaiting_approval": True, "message": "Please check 12 mappings."},
        }
    ],
}

ERRORS: Final[dict[str, Any]] = {
    "flow_id": _FLOW_ID,
    "retry_count": 1,
    "error_count": 1,
    "matching": 1,
    "at_least": [],
    "errors": [
        {
            "id": "0198c4a2-7d90-7000-8000-000000000002",
            "phase": "data_import",
            "error": "TimeoutError: no answer within 30 s",
            "details": {"error_type": "transient_io", "is_retryable": True},
            "timestamp": "2026-11-02T09:30:41.007100+00:00",
        }
    ],
    "causes": [
        {
            "cause": "TimeoutError: no answer within # s",
            "errors": 1,
            "phases": ["data_import"],
            "first_seen_at": "2026-11-02T09:30:41.007100Z",
            "last_seen_at": "2026-11-02T09:30:41.007100Z",
        }
    ],
    "trace_url": "https://traces.example/trace/{trace_id}",
}

ACTIVITY: Final[dict[str, Any]] = {
    "flow_id": _FLOW_ID,
    "collaboration_count": 1,
    "matching": 1,
    "at_least": [],
    "collaborations": [
        {
            "id": "0198c4a2-7e10-7000-8000-000000000003",
            "agent": "Schema Expert",
            "activity": "proposed field mappings",
            "timestamp": "2026-11-02T09:31:04.500000+00:00",
        }
    ],
    "agent_performance_metrics": {"Schema Expert": {"items": 17, "duration_ms": 812.4}},
    "memory_usage_metrics": {"peak_memory_mb": 212.5},
    "trace_url": "https://traces.example/trace/{trace_id}",
}

INBOX: Final[dict[str, Any]] = {
    "waiting": [
        {
            "flow_id": _FLOW_ID,
            "flow_type": "discovery",
            "flow_name": "Discovery of servers.csv",
            "status": "waiting_for_approval",
            "current_phase": _APPROVAL,
            "user_id": "ann",
            "engagement_id": "0198c4a2-0000-7000-8000-000000000002",
            "since": _PAUSED_AT,
            "message": "Please check 12 mappings.",
            "questions": [_QUESTION],
        }
    ],
    "next_cursor": "AAZCnp3fBIABmMSifV58OpsOP49vHyoR",
}

ASK: Final[dict[str, Any]] = {
    "reason": "The wrong file.",
    "request_id": "0198c4a2-8f10-7000-8000-000000000005",
}

ANSWER: Final[dict[str, Any]] = {
    "reason": "I looked at all of them.",
    "question": "mapping",
    "answer": "approve",
    "request_id": "0198c4a2-8f10-7000-8000-000000000006",
}

SENT: Final[dict[str, Any]] = {"request_id": "0198c4a2-8f10-7000-8000-000000000006", "state": "accepted"}

_TIME: Final[dict[str, Any]] = {
    "took_ms": 45000.0,
    "is_running": True,
    "flows": 212,
    "p50_ms": 9800.0,
    "p95_ms": 14500.0,
    "times_p95": 3.1,
    "is_slower": True,
}

USUAL: Final[dict[str, Any]] = {
    "flow_id": _FLOW_ID,
    "flow_type": "discovery",
    "as_of": "2026-11-02T09:31:52.120394Z",
    "flows": 212,
    "whole": {**_TIME, "took_ms": 112000.0, "p50_ms": 95000.0, "p95_ms": 180000.0}
    | {"times_p95": 0.62, "is_slower": False},
    "phases": [{**_TIME, "phase": "data_cleansing"}],
    "remaining": {"flows": 64, "p50_ms": 21000.0, "p95_ms": 70000.0},
}

_USED: Final[dict[str, Any]] = {
    "calls": 14,
    "input_tokens": 52000,
    "output_tokens": 8100,
    "cost_usd": 0.21,
    "unpriced_calls": 0,
    "at_least": False,
}
_SIDE: Final[dict[str, Any]] = {
    "flow_id": _FLOW_ID,
    "flow_type": "discovery",
    "flow_name": "Nightly import",
    "status": "completed",
    "created_at": "2026-11-02T09:30:00.120394Z",
    "took_ms": 112000.0,
    "error_count": 1,
    "retry_count": 0,
    "usage": _USED,
}
_OTHER_ID: Final = "0198c4a2-7d5e-7c3a-9b0e-3f8f6f1f2a12"
_PHASE: Final[dict[str, Any]] = {"status": "completed", "took_ms": 9000.0, "attempts": 1, "errors": 1}

COMPARISON: Final[dict[str, Any]] = {
    "this": _SIDE,
    "other": {**_SIDE, "flow_id": _OTHER_ID, "took_ms": 134000.0, "error_count": 0},
    "phases": [
        {
            "phase": "data_cleansing",
            "this": _PHASE,
            "other": {**_PHASE, "took_ms": 18000.0, "errors": 0},
            "difference_ms": 9000.0,
            "times": 2.0,
        }
    ],
    "causes": [{"cause": "connection to host refused", "this": 1, "other": 0}],
    "agents": [{"agent": "data_cleansing_agent", "this": _USED, "other": {**_USED, "calls": 11}}],
}
