"""`flowctl`, the operator's command line; each group of commands has a file of its own."""

import sys
from importlib import import_module
from typing import Final

import masterflow
from masterflow.scripts.terminal.text import say

#: The exit code after Ctrl-C, as shells count it.
_INTERRUPTED: Final = 130


def main() -> None:
    """Run the command that the arguments name, or say what has to be installed for it.

    Raises:
        ModuleNotFoundError: a module of ours is missing.
    """
    try:
        import_module("masterflow.scripts.flowctl.app").main()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("masterflow"):
            raise
        if sys.argv[1:] == ["--version"]:
            say(f"masterflow {masterflow.__version__}")
            return
        sys.exit(f"flowctl needs {error.name}; install it: pip install 'masterflow[cli,database]'.")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)  # while it was loading


__all__ = ["main"]
