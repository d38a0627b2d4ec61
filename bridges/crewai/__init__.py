"""Fills the master row of every crewAI flow of this process: `install(context)`, and nothing else changes.

Importing this does not import crewAI; `install` does.
"""

from masterflow.bridges.crewai.bridge import flow, install, request_stop, status, uninstall

__all__ = ["flow", "install", "request_stop", "status", "uninstall"]
