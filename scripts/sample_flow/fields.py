"""The canonical fields of a server, and which header of a file means which of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

#: Canonical field: the headers that people and tools give it; of two in one file the first here has it.
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "hostname": (
        *("server name", "hostname", "computer name", "machine name", "vm name", "vm", "device name"),
        *("dns host name", "dns name", "fqdn", "host", "server", "rechnername", "name"),
    ),
    "ip_address": (
        *("ip address", "ip", "ipv4 address", "primary ip address", "primary ip", "ip addresses"),
        *("ip adresse", "address"),
    ),
    "environment": ("environment", "env", "stage", "used for", "umgebung"),
    "role": ("server role", "role", "function", "server type"),
    "operating_system": (
        *("operating system", "os", "os name", "operating system name", "guest os", "os full name"),
        *("os according to the configuration file", "os according to the vmware tools"),
        *("betriebssystem", "platform", "os version"),
    ),
    "os_version": ("os version", "operating system version"),
    "cpu_cores": (
        *("cpu cores", "cores", "cpu core count", "number of cores", "cpu number of cores", "vcpu", "vcpus"),
        *("cpus", "cpu", "cpu count"),
    ),
    "ram_gb": (
        *("ram", "memory", "ram size", "memory size", "total ram", "total memory", "ram total size"),
        *("physical memory", "total physical memory", "arbeitsspeicher"),
    ),
    "storage_gb": (
        *(
            "storage",
            "disk",
            "disk size",
            "storage size",
            "disk space",
            "total disk capacity",
            "disk capacity",
        ),
        *("total storage", "total disk", "storage in use"),
    ),
    "application": ("application", "application name", "app", "service", "anwendung"),
    "owner": ("business owner", "owner", "department"),
    "criticality": ("criticality", "business criticality", "importance"),
    "location": ("data centre", "location", "site", "standort"),
    "installed_on": ("installed on", "install date", "installation date", "commissioned"),
    "last_patched": ("last patched", "patch date", "last update"),
    "depends_on": ("depends on", "dependencies", "upstream"),
    "monthly_cost": ("monthly cost", "cost", "cost per month", "kosten pro monat", "monatliche kosten"),
}

#: Without these a file cannot be worked on.
REQUIRED: Final = ("hostname", "operating_system")

#: A unit in a header, as a word (`RAM (GB)`, `ram_mb`, `Memory (In MB)`, `RAM (Go)`) or at the end of one.
_UNIT_WORD: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:in[\s_])?([kmgt]i?b|bytes?|(?<=\()[kmgt]o(?=\)))(?![A-Za-z0-9])", re.IGNORECASE
)
_UNIT_ENDING: Final = re.compile(r"(?<=[a-z])(?:In)?([KMGT]i?B)$")

_MAX_HEADER_CHARS: Final = 60
_MIN_CONFIDENCE: Final = 0.75
#: Words that differ more than that are different words: `status` is no `date`.
_MIN_WORD_LIKENESS: Final = 0.8
_MIN_WORD_CHARS: Final = 4


@dataclass(frozen=True)
class FieldMapping:
    """A header and the field it means, if any, with a confidence from 0 to 1."""

    header: str
    field: str | None
    confidence: float


def match_headers(headers: Iterable[str]) -> list[FieldMapping]:
    """Return a mapping for each header; no two of them share a field, the better match has it.

    A header that is known by name is taken for nothing else, and the spelling of one that is not decides.
    """
    headers = tuple(headers)
    chosen: dict[str, FieldMapping] = {}
    for field in SYNONYMS:
        ranked = [(rank, header) for header in headers if (rank := _rank(header, field)) is not None]
        if left := [each for each in ranked if each[1] not in chosen]:
            header = min(left, key=lambda each: each[0])[1]
            chosen[header] = FieldMapping(header, field, 1.0 if _words(header) in SYNONYMS[field] else 0.95)
    taken = {mapping.field for mapping in chosen.values()}
    unknown = [header for header in headers if not is_known(header)]
    pairs = ((header, field) for header in unknown for field in SYNONYMS if field not in taken)
    for likeness, header, field in sorted(((_likeness(*pair), *pair) for pair in pairs), reverse=True):
        if likeness >= _MIN_CONFIDENCE and header not in chosen and field not in taken:
            chosen[header] = FieldMapping(header, field, round(likeness, 2))
            taken.add(field)
    return [chosen.get(header, FieldMapping(header, None, 0.0)) for header in headers]


def columns_of(mappings: Iterable[FieldMapping]) -> dict[str, str]:
    """Return the header of each field that has one."""
    return {mapping.field: mapping.header for mapping in mappings if mapping.field}


@lru_cache(maxsize=10_000)
def is_known(header: str) -> bool:
    """Tell whether a header is one of the names that a field has."""
    return key_of(header) in _KNOWN


def key_of(header: str) -> str:
    """Return what is the same of `Host Name`, `host_name` and `HostName`."""
    return _words(header).replace(" ", "")


def unit_of(header: str) -> str | None:
    """Return the unit that a header names, in lower case: `mb` of `Memory (In MB)`."""
    found = _UNIT_WORD.search(header) or _UNIT_ENDING.search(header)
    return found[1].lower() if found else None


def _rank(header: str, field: str) -> int | None:
    return _RANKS[field].get(key_of(header))


def _likeness(header: str, field: str) -> float:
    """Return how like a header is to one of a field's names, word by word; 0 if a word is another one."""
    words = _words(header).split()
    return max(_words_likeness(words, name.split()) for name in SYNONYMS[field])


def _words_likeness(words: list[str], name: list[str]) -> float:
    if len(words) != len(name) or any(a[0] != b[0] for a, b in zip(words, name, strict=True)):
        return 0.0
    likes = [
        1.0
        if a == b
        else SequenceMatcher(None, a, b).ratio()
        if min(len(a), len(b)) >= _MIN_WORD_CHARS
        else 0.0
        for a, b in zip(words, name, strict=True)
    ]
    return sum(likes) / len(likes) if min(likes, default=0) >= _MIN_WORD_LIKENESS else 0.0


def _words(header: str) -> str:
    """Return a header without units, brackets, punctuation and case: `RAM (GB)` is `ram`."""
    bare = _UNIT_ENDING.sub("", _UNIT_WORD.sub(" ", header[:_MAX_HEADER_CHARS]))
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"\(.*?\)|\[.*?\]", " ", bare.lower())))


_RANKS: Final = {
    field: {name.replace(" ", ""): rank for rank, name in reversed(list(enumerate(names)))}
    for field, names in ((field, (*names, field.replace("_", " "))) for field, names in SYNONYMS.items())
}
_KNOWN: Final = frozenset(key for ranks in _RANKS.values() for key in ranks)
