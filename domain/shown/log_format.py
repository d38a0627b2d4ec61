"""The last step of a log: whatever an entry quotes, it stays one entry and does nothing to a terminal."""

import logging

from typing_extensions import override

from masterflow.domain.shown.harmless import harmless_entry


class HarmlessFormatter(logging.Formatter):
    """Formats as another formatter does, and makes the result harmless."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the entry, of one line or more."""
        return harmless_entry(self._inner.format(record))
