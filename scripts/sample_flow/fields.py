"""The canonical fields of a server, and which header of a file means which of them."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

#: Canonical field: the headers that people give it.
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "hostname": ("server name", "hostname", "host", "server", "machine name"),
    "ip_address": ("ip address", "ip", "address", "primary ip"),
    "environment": ("environment", "env", "stage"),
    "role": ("server role", "role", "function", "server type"),
    "operating_system": ("operating system", "os", "os version", "platform"),
    "cpu_cores": ("cpu cores", "cpu", "cores", "vcpu"),
    "ram_gb": ("ram", "memory", "ram gb", "memory size"),
    "storage_gb": ("storage", "disk", "disk size", "storage gb"),
    "application": ("application", "application name", "app", "service"),
    "owner": ("business owner", "owner", "department"),
    "criticality": ("criticality", "business criticality", "importance"),
    "location": ("data centre", "location", "site"),
    "installed_on": ("installed on", "install date", "commissioned"),
    "last_patched": ("last patched", "patch date", "last update"),
    "depends_on": ("depends on", "dependencies", "upstream"),
    "monthly_cost": ("monthly cost", "cost", "cost per month"),
}

#: Without these a file cannot be worked on.
REQUIRED: Final = ("hostname", "operating_system")

_MAX_HEADER_CHARS: Final = 60
_MIN_CONFIDENCE: Final = 0.75


@dataclass(frozen=True)
class FieldMapping:
    """A header and the field it means, if any, with a confidence from 0 to 1."""

    header: str
    field: str | None
    confidence: float


def match_headers(headers: tuple[str, ...]) -> list[FieldMapping]:
    """Return a mapping for each header; no two of them share a field, the better match has it."""
    pairs = ((header, field) for header in headers for field in SYNONYMS)
    scores = sorted(((_similarity(*pair), *pair) for pair in pairs), reverse=True)
    chosen: dict[str, FieldMapping] = {}
    taken: set[str] = set()
    for score, header, field in scores:
        if score >= _MIN_CONFIDENCE and header not in chosen and field not in taken:
            chosen[header] = FieldMapping(header, field, round(score, 2))
            taken.add(field)
    return [chosen.get(header, FieldMapping(header, None, 0.0)) for header in headers]


def columns_of(mappings: list[FieldMapping]) -> dict[str, str]:
    """Return the header of each field that has one."""
    return {mapping.field: mapping.header for mapping in mappings if mapping.field}


def _similarity(header: str, field: str) -> float:
    words, names = _words(header), (*SYNONYMS[field], field.replace("_", " "))
    return max(SequenceMatcher(None, words, name).ratio() for name in names)


def _words(header: str) -> str:
    """Return a header without units in brackets, punctuation and case: `RAM (GB)` is `ram`."""
    return " ".join(re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", header[:_MAX_HEADER_CHARS].lower())))
