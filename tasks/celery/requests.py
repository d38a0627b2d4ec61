"""Celery's request, as far as people may see it."""

from datetime import UTC, datetime
from typing import Any

from celery.worker.request import Request as CeleryRequest

from masterflow.tasks.shown_arguments import shown


class Request(CeleryRequest):
    """A message that a worker holds; its arguments are for the task alone, not for Flower or `inspect`."""

    _kwargs: dict[str, Any]
    _kwargsrepr: str
    _request_dict: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Any Celery writes the limits of its own tasks here, and others could have a child killed at once.
        self.time_limits = (None, None)
        # Whoever sent it may have written anything there, by default what it sent.
        self._argsrepr = "()"
        self._kwargsrepr = shown(self._kwargsrepr, self._kwargs)
        self._request_dict |= {"argsrepr": self._argsrepr, "kwargsrepr": self._kwargsrepr}

    def revoked(self) -> bool:
        """Return whether it is past its time; who revokes ids by remote control is not heard.

        A batch's id is known to whoever reads the queue, and Celery would acknowledge it, and each time it
        comes again, without a word.
        """
        if self.expires is None or self.expires > datetime.now(UTC):
            return False
        return bool(super().revoked())

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002  as Celery calls it
        """Return what `inspect` shows; Celery would show the arguments."""
        return super().info(safe=True)
