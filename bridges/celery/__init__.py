"""Fills master rows from the tasks of your own Celery application: `install(context)`, once per process."""

from masterflow.bridges.celery.bridge import install, uninstall

__all__ = ["install", "uninstall"]
