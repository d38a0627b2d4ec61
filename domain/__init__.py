"""The words all share: phases, statuses, events, the tenant, time, and what makes a payload safe."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
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


if not TYPE_CHECKING:
    # They stand on pydantic, which takes 80 ms to load and which `flowctl --help` need not wait for.
    _FROM_MODULE = {"FlowContext": "tenant", "flow_uuid": "ids"}

    def __getattr__(name: str) -> Any:
        if name not in _FROM_MODULE:
            raise AttributeError(f"module 'masterflow.domain' has no attribute {name!r}")
        return getattr(import_module(f"masterflow.domain.{_FROM_MODULE[name]}"), name)
