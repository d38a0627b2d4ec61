"""Chance that follows from a world's number alone."""

from random import Random


def chance_of(number: int, *names: object) -> Random:
    """Return the chance of one part of a world, which the others do not disturb."""
    return Random(f"{number}:{names}")
