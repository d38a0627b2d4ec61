"""What the application is about."""


def score(name: str) -> int:
    """Return how urgent it is to move a server."""
    return len(name)
