"""A cheap search that tells whether there can be a secret in a text at all; most are passed on its word.

All its branches begin with a letter, and most with one that is rare in texts: `re` skips from one to the next
several times faster than it would look for whole words. It stops at what may be a secret's name, whatever
comes behind it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from masterflow.domain.payload.secrets.shapes import LOGIN_IN_URL


def _any_case(word: str) -> str:
    return "".join(f"[{char}{char.upper()}]" for char in word)


# By first letter, what follows it in the names of secrets: (to)k-en, (s)e-c-ret, (o)t-p.
_STEM_ENDS: Final = {
    "p": (
        _any_case("ass"),
        "[wW]",
        "[sS][kKwW]",
        r"[iI][nN][sS]?(?![A-Za-z])",
        _any_case("hras"),
        "(?<=[oO][tT].)",
        _any_case("arol"),
    ),
    "k": ("(?<=[tT][oO].)[eE][nN]", "[eE][yY](?![wWbB])", _any_case("ennw"), "(?<=[oO].)[iI][eE]"),
    "c": (
        _any_case("red"),
        _any_case("ret"),
        "[vV][vVcC]",
        _any_case("ontras"),
        _any_case("ommunit"),
        _any_case("ode") + r"""s?(?=[\\"'\] \t]*(?:[:=]|[iI][sS][ \t]))""",
    ),
    "u": ("[tT][hH](?![oO][rR](?![iI])|[eE][nN])",),
    "j": ("[wW][tT]",),
    "b": (_any_case("earer"),),
    "m": (_any_case("nemo"), _any_case("ot") + "[ _-]?" + _any_case("de")),
    "w": (_any_case("achtw"),),
}

_STEM_ENDS_BY_CASE: Final = {
    case: ends for letter, ends in _STEM_ENDS.items() for case in (letter, letter.upper())
}

#: The same in other scripts.
_FOREIGN_ENDS: Final = {
    "\u043f": ("\u0430\u0440\u043e\u043b\u044c",),
    "\u041f": ("\u0430\u0440\u043e\u043b\u044c",),
    "\u5bc6": ("[\u7801\u78bc]",),
    "\u30d1": ("\u30b9\u30ef\u30fc\u30c9",),
}

# Base64 of "pass", "secret", "token" and "PRIVATE KEY" at any place.
_BASE64_ENDS: Final = {
    "c": ("GFzc", "2VjcmV0"),
    "B": ("hc3N", "SSVZBVEU"),
    "w": ("YXNz",),
    "N": ("lY3Jld",),
    "z": ("ZWNyZX",),
    "d": ("G9rZW4",),
    "R": ("va2Vu",),
    "0": ("b2tlb",),
    "U": ("FJJVkFUR",),
    "Q": ("UklWQVRF",),
}

# Of tokens that name their issuer, and of all other shapes.
_SHAPE_ENDS: Final = {
    ":": (LOGIN_IN_URL[1:], r"//[\w-]{20}", r"AA[\w-]{32}", r"(?:\d{4,5}|\*):[^\s:/]+:[^\s:/]+:"),
    "_": ("[0-9A-Za-z]{20}",),
    "=": (
        "(?<=[sSnN][iI][dD]=)",
        r"(?:(?<=[sS][iI][gG]=)|(?<=[nN][aA][tT][uU][rR][eE]=)|(?<=[?&][st]=))[\w%+/~.=-]{16}",
    ),
    "-": (
        "----(?:BEGIN|END) ",
        "u(?:ser)?[\"' ,]",
        r"u[\w.-]{1,40}:",
        r"S(?<=\s-S)",
        "[pPwakUK](?<=[\\s\"']-.)",
        "(?<=sk-)|(?<=xai-)|(?<=(?:xapp|pypi|pplx|tvly|CSPX|PMAK|NRAK)-)",
        "(?<=xox[a-z]-)",
        "(?<=gl[a-z][a-z]-)|(?<=gl[a-z][a-z][a-z]-)|(?<=glsoat-)|(?<=glagent-)",
    ),
    "A": ("(?:KIA|SIA|BIA|CCA|Iza|TATT3|GE-SECRET)",),
    ".": (r"(?:(?<=ya29\.)|(?<=SG\.)|(?<=hv[sbr]\.))",),
    "~": ("(?<=8Q~)",),
    "$": (
        r"(?:2[abxy]?|[1567yPHS]|apr1|argon2\w{0,2}|scrypt|pbkdf2|gy)\$",
        "(?<=scrypt.)|(?<=sha256.)|(?<=sha512.)|(?<=sha1.)",
    ),
    "{": ("(?:S?SHA|S?MD5|CRYPT|PBKDF2|ARGON2)",),
    "%": ("(?:25){0,3}(?:3[aA]%(?:25){0,3}2[fF]|[67][0-9a-fA-F]%)",),
    "S": ("CRAM-",),
    "\\": (r"u[0-9a-fA-F]{4}\\+u",),
    "j": ("(?<=eyj)", "(?<=eyJ)", "dbc:"),
    "J": ("(?<=eyJ)",),
    "D": (r"ENTIFIED\s",),
    "d": (r"entified\s",),
    "b": ("3BlbnNzaC1", r"asic\s"),
    "B": (r"(?:asic|ASIC)\s",),
    "L": ("S0tLS1CRUdJTi", "plus"),
    "l": (r"plus\s",),
    "M": ("II[A-Za-z0-9+/]{3}IBA", "H[cQ]CAQEE"),
    "k": (r"s\.slack", r"s/\d"),
    "P": ("rivate-Lines",),
    "c": (r"rypt\(",),
    "/": ("[uU](?:SER|ser):",),
}


def _pattern(*tables: Mapping[str, Sequence[str]]) -> str:
    """Return what finds any of these: each first letter once, so that at most letters nothing is tried."""
    ends: dict[str, list[str]] = {}
    for table in tables:
        for letter, more in table.items():
            ends.setdefault(letter, []).extend(more)
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(more)})" for letter, more in ends.items())


#: Stands in every name of a secret, in one of its last words.
STEM: Final = _pattern(_STEM_ENDS_BY_CASE, _FOREIGN_ENDS)

#: Finds something in every text that holds a secret.
SUSPICION: Final = re.compile(_pattern(_STEM_ENDS_BY_CASE, _SHAPE_ENDS, _BASE64_ENDS, _FOREIGN_ENDS))

#: Stands in base64 that may hold a secret.
IN_BASE64: Final = re.compile(f"{_pattern(_BASE64_ENDS)}|eyJ")
