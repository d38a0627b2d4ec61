"""`flowctl`, the operator's command line; each group of commands has a file of its own."""

from masterflow.scripts.flowctl.app import main

__all__ = ["main"]
