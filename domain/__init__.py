"""The words all share: phases, statuses, events, the tenant, time, and what makes a payload safe."""

from masterflow.domain.errors import (
    ClockAhead,
    DatabaseUnavailable,
    EnrichmentError,
    FlowNotFound,
    InputInvalid,
    PermanentError,
    SettingsInvalid,
    SignatureInvalid,
    TenantMismatch,
    TransientError,
    VersionConflict,
)
from masterflow.domain.ids import flow_uuid
from masterflow.domain.tenant import FlowContext

__all__ = [
    "ClockAhead",
    "DatabaseUnavailable",
    "EnrichmentError",
    "FlowContext",
    "FlowNotFound",
    "InputInvalid",
    "PermanentError",
    "SettingsInvalid",
    "SignatureInvalid",
    "TenantMismatch",
    "TransientError",
    "VersionConflict",
    "flow_uuid",
]
