"""Text of unknown origin, made safe to show on a terminal."""

from rich.text import Text


def terminal_text(value: object, style: str = "") -> Text:
    """Return a value's text; what could steer the terminal or reorder its characters becomes `�`."""
    return Text("".join(char if char.isprintable() else "�" for char in str(value)), style)
