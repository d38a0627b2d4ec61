"""Fills the master row of every crewAI flow of this process: `install(context)`, and nothing else changes.

Importing this does not import crewAI; `install` does.
"""

from typing import TYPE_CHECKING, Any

from masterflow.bridges.crewai.bridge import flow, install, request_stop, status, uninstall

__all__ = ["PostgresFlowPersistence", "flow", "install", "request_stop", "status", "uninstall"]

if TYPE_CHECKING:
    PostgresFlowPersistence: Any
else:

    def __getattr__(name: str) -> Any:
        if name != "PostgresFlowPersistence":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from masterflow.bridges.crewai.persistence import persistence_class  # noqa: PLC0415  it needs crewAI

        return persistence_class()
