"""Runs it as `python -m masterflow.scripts.checks`."""

import sys

from masterflow.scripts.checks import main

sys.exit(main(sys.argv[1:]))
