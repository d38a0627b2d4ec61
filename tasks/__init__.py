"""What to do about it: the queue, the enrichment tasks, the backfill and the dead letters."""

import sys
from importlib import import_module

# `celery -A tasks.app` in the repository's folder, from before there was one package: the same application,
# not a second one that has no tasks.
if __name__ == "tasks":
    sys.modules["tasks.app"] = import_module("masterflow.tasks.app")
