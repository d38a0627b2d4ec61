"""Runs the demo as `python -m masterflow.scripts.demonstration`, which `./scripts/demo` does."""

from importlib import import_module

from masterflow.scripts.terminal.entrance import run_program


def _run() -> None:
    # It takes a second to load, in which Ctrl-C may come.
    program = import_module("masterflow.scripts.demonstration.program")
    program.app(prog_name="./scripts/demo", standalone_mode=False)


if __name__ == "__main__":
    run_program(_run)
