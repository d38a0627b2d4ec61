"""Keeps the master row of every agent flow true: report what happens in a flow, and read what is so.

Each name is loaded when it is first used, so an orchestrator never loads the database or the web.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from masterflow.domain import (
        DatabaseUnavailable,
        EnrichmentError,
        FlowContext,
        FlowNotFound,
        InputInvalid,
        PermanentError,
        SettingsInvalid,
        TenantMismatch,
        TransientError,
        VersionConflict,
        flow_uuid,
    )
    from masterflow.repository import (
        BlockingFlowStates,
        CrewAIFlowStateExtensionsRepository,
        DiscoveryFlowRepository,
        PostgresFlowStateStore,
        SecureCache,
    )
    from masterflow.status.api.flows import router as status_router
    from masterflow.status.page.routes import router as page_router
    from masterflow.tracker import (
        Attempt,
        FlowLogFilter,
        FlowProgressTracker,
        FlowRunner,
        FlowStopped,
        FlowThreadPool,
        StopRequest,
        adopt,
        create_progress_tracker,
        current_flow,
        flush,
        outbox_status,
        phase,
        run_initialization,
        shutdown,
    )
    from masterflow.tracker.testing import FlowReports

    __version__: str

__all__ = [
    "Attempt",
    "BlockingFlowStates",
    "CrewAIFlowStateExtensionsRepository",
    "DatabaseUnavailable",
    "DiscoveryFlowRepository",
    "EnrichmentError",
    "FlowContext",
    "FlowLogFilter",
    "FlowNotFound",
    "FlowProgressTracker",
    "FlowReports",
    "FlowRunner",
    "FlowStopped",
    "FlowThreadPool",
    "InputInvalid",
    "PermanentError",
    "PostgresFlowStateStore",
    "SecureCache",
    "SettingsInvalid",
    "StopRequest",
    "TenantMismatch",
    "TransientError",
    "VersionConflict",
    "__version__",
    "adopt",
    "create_progress_tracker",
    "current_flow",
    "flow_uuid",
    "flush",
    "outbox_status",
    "page_router",
    "phase",
    "run_initialization",
    "shutdown",
    "status_router",
]

_ROOMS: Final = {
    "masterflow.domain": (
        "DatabaseUnavailable",
        "EnrichmentError",
        "FlowContext",
        "FlowNotFound",
        "InputInvalid",
        "PermanentError",
        "SettingsInvalid",
        "TenantMismatch",
        "TransientError",
        "VersionConflict",
        "flow_uuid",
    ),
    "masterflow.repository": (
        "BlockingFlowStates",
        "CrewAIFlowStateExtensionsRepository",
        "DiscoveryFlowRepository",
        "PostgresFlowStateStore",
        "SecureCache",
    ),
    "masterflow.tracker": (
        "Attempt",
        "FlowLogFilter",
        "FlowProgressTracker",
        "FlowRunner",
        "FlowStopped",
        "FlowThreadPool",
        "StopRequest",
        "adopt",
        "create_progress_tracker",
        "current_flow",
        "flush",
        "outbox_status",
        "phase",
        "run_initialization",
        "shutdown",
    ),
    "masterflow.tracker.testing": ("FlowReports",),
}
#: Where each name is found: a module, and how it is called there.
_HOMES: Final = {name: (room, name) for room, names in _ROOMS.items() for name in names} | {
    "page_router": ("masterflow.status.page", "router"),
    "status_router": ("masterflow.status.api.flows", "router"),
}
#: What has to be installed for the names of a room.
_EXTRAS: Final = {"repository": "database", "status": "status"}


def _load(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(module.split(".")[1])
        if extra is None or (error.name or "").startswith("masterflow"):
            raise
        raise ImportError(
            f"{module} needs {error.name}, which is not installed: pip install 'masterflow[{extra}]'.",
            name=error.name,
        ) from error


# Type checkers read the imports above; from this they would believe that there is any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            # It takes 25 ms to load, which who asks for help need not wait for.
            value: Any = import_module("importlib.metadata").version("masterflow")
        elif name in _HOMES:
            value = _load(*_HOMES[name])
        else:
            raise AttributeError(f"module 'masterflow' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
