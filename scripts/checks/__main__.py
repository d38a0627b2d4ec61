"""Runs it as `python -m masterflow.scripts.checks`."""

import sys

from masterflow.scripts.checks import main
from masterflow.scripts.terminal.entrance import run_program

run_program(lambda: main(sys.argv[1:]))
