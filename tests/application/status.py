"""The application's own idea of a status."""

OPEN = "open"
