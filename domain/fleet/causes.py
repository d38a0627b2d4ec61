"""The cause of an error: its text without what differs from one time to the next."""

import re
from functools import lru_cache
from typing import Final

CAUSE_CHARS: Final = 160

#: More of a text is never read.
READ_CHARS: Final = 400

#: The cause of an error without a text.
UNKNOWN: Final = "(no text)"

_HOST: Final = r"(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.)+[a-z]{2,24}"

# In this order: a host may stand in an address, an id in a host, and a number in all of them.
_VARYING: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), stands_for)
    for pattern, stands_for in (
        (r"[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>]+", "<address>"),
        (r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+", "<address>"),
        (r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "<id>"),
        (r"\b0x[0-9a-f]+\b", "<id>"),
        (r"\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b", "<id>"),
        (r"\[(?=[0-9a-f:]*:[0-9a-f]*:)[0-9a-f:.]{2,45}\](?::\d{1,5})?", "<host>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b", "<host>"),
        # A module of Python has dots too; a host has a port, or ends as hosts do.
        (rf"\b{_HOST}:\d{{1,5}}\b", "<host>"),
        (
            r"\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|internal|local|localdomain|lan|svc|example|test)\b",
            "<host>",
        ),
        (r"\b[a-z][a-z0-9-]{0,62}:\d{4,5}\b", "<host>"),
        (r"\d+(?:[.,_]\d+)*", "#"),
    )
)


@lru_cache(maxsize=10_000)
def cause_of(text: str) -> str:
    """Return the first line of an error with signs for addresses, ids, times, hosts and numbers.

    `db-3.internal:5432 gave no answer in 30 s` is `<host> gave no answer in # s`. It has no digits and at
    most 160 characters.
    """
    first = next((line for line in text[:READ_CHARS].splitlines() if line.strip()), "")
    cause = " ".join(first.split())
    for varying, stands_for in _VARYING:
        cause = varying.sub(stands_for, cause)
    return cause[:CAUSE_CHARS].rstrip() or UNKNOWN
