"""How other tools write their exports: encodings, layouts, numbers, units and dates."""


class Flaw(ValueError):
    """What keeps a file from being read: the end of a sentence that begins with its name."""
