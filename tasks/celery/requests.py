"""Celery's request, as far as people may see it."""

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
        # Whoever sent it may have written anything there, by default what it sent.
        self._argsrepr = "()"
        self._kwargsrepr = shown(self._kwargsrepr, self._kwargs)
        self._request_dict |= {"argsrepr": self._argsrepr, "kwargsrepr": self._kwargsrepr}

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002  as Celery calls it
        """Return what `inspect` shows; Celery would show the arguments."""
        return super().info(safe=True)
