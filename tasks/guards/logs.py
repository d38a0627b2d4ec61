"""Guards the log of worker and beat: nothing that a message holds can forge an entry or steer a terminal."""

import logging
from typing import Any

from celery import signals
from celery.utils.log import ColorFormatter
from typing_extensions import override

from masterflow.domain.shown.log_format import HarmlessFormatter


class WorkerFormatter(HarmlessFormatter):
    """Makes Celery's entries harmless, and colours them afterwards."""

    def __init__(self, inner: ColorFormatter) -> None:
        super().__init__(inner)
        self._colours: dict[str, Any] = dict(inner.colors) if inner.use_color else {}
        inner.use_color = False

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the entry, of one line or more."""
        entry, colour = super().format(record), self._colours.get(record.levelname)
        return str(colour(entry)) if colour else entry


def guard_logs() -> None:
    """Take over the formatters that Celery makes; how the others format is for the host to say."""
    for is_ready in (signals.after_setup_logger, signals.after_setup_task_logger):
        is_ready.connect(_take_over)


def _take_over(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        if isinstance(handler.formatter, ColorFormatter):
            handler.setFormatter(WorkerFormatter(handler.formatter))
