"""Secrets behind a name about which something is said first: `password for bob: …`, `contraseña nueva: …`."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import (
    MASK,
    is_about,
    is_anything,
    is_likely,
    is_same_name,
    is_secret_word,
    looks_of,
    secrecy,
)
from masterflow.domain.payload.secrets.said import is_description, is_said_abroad
from masterflow.domain.payload.secrets.suspicion import STEM

# For whom or what it is: a preposition of English, German, French, Spanish, Italian, Portuguese, Dutch,
# Swedish, Danish, Polish, Czech or Russian, and up to five words.
_PREPOSITION: Final = (
    r"(?i:for|of|to|on|at|from|f\xfcr|fuer|der|des|vom|von|zum|zur|am|pour|de|del|du|della|dello|di|do|da|para|per|por"
    r"|van|voor|f\xf6r|till|til|av|af|dla|pro|k|\u043e\u0442|\u0434\u043b\u044f|\u043a|\u043d\u0430|\u0434\u043e|\u0432\u0456\u0434|\u0432)"
)
# What it is: new, old, of today.
_ADJECTIVE: Final = (
    r"(?i:nuev[ao]|nov[ao]|nouveau|nouvelle|actuel(?:le)?|actual|atual|antigu[ao]|antig[ao]|anterior|tempor[a\xe1]\w{1,6}"
    r"|provisoire|maestra|mestra|ma\xeetre|principal|inicial|nuov[ao]|attuale|vecchi[ao]|neu|alt|actueel|now[ey]|nowe"
    r"|\u0441\u0435\u0439\u0447\u0430\u0441|\u0442\u0435\u043f\u0435\u0440\u044c)"
)
# Of whom it is, in languages that need no preposition for that.
_OF_THEM: Final = (
    r"(?:[\u0400-\u04ff]{3,24}(?:[ ][\w@.-]{1,40})?|dost\u0119pu|u\u017cytkownika|administratora|bazy|konta)"
)
_LEADS: Final = (
    r"(?:[ \xa0]?[:=\uff1a][ \t]*+|[ ](?P<told>is|was|ist|lautet|es|est"
    r"|\xe9|\xe8|\xe4r|er|jest|[-\u2013\u2014])[ ])"
)
_QUALIFIED: Final = re.compile(
    rf"(?:{STEM})\w{{0,20}}+[\"'`]?[ ](?:{_PREPOSITION}[ ]"
    rf"(?:[\w@.'\u2019\"/-]{{1,40}}[ ]){{0,4}}?[\w@.'\u2019\"/%-]{{1,64}}|{_ADJECTIVE}"
    rf"|\([^()\n]{{1,40}}\)|{_OF_THEM})"
    rf"{_LEADS}"
    r"""(?P<quote>["'`\xab\u201c\u201e])?"""
    r"""(?P<value>(?(quote)[^"'`\xbb\u201c\u201d\r\n]{1,300}|[^\s"'`,;<>(\[{]{3,300}))"""
)
_NAME_BEFORE: Final = re.compile(r"[\w.-]{0,60}(?:[ ][\w.-]{1,40}){0,2}$|")
_STEM_END: Final = re.compile(r"[\w-]+(?:[ ]de[ ]pass\w*)?")
_DIGIT: Final = re.compile(r"\d")
_ENDS: Final = re.compile(r"[.!]?[ \t]*(?:\r?\n|$|[,;)\"']|\\n|[.!] )")


def edits_in_qualified(text: str) -> list[Edit]:
    """Return what is to be masked behind such names."""
    return sorted({edit for edit in _edits(text) if text[edit.start : edit.end] != MASK})


def _edits(text: str) -> Iterator[Edit]:
    for found in _QUALIFIED.finditer(text):
        before = text[max(0, found.start() - 60) : found.start()]
        start = len(before.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"))
        stem = _STEM_END.match(text, found.start())
        name = before[start:] + (stem[0] if stem else "")
        looks = looks_of(name) or looks_of(before[-24:].split("\n")[-1] + (stem[0] if stem else ""))
        value = found["value"] if found["quote"] else found["value"].rstrip(".!?)")
        if found["told"] and not (found["quote"] or _DIGIT.search(value) or value.isalpha()):
            continue
        is_last = found["quote"] or _ENDS.match(text, found.start("value") + len(value))
        if looks is None or not value or not (is_last or is_likely(value)) or _is_said(name, value):
            continue
        is_word = looks in (is_anything, is_secret_word) and not _IN_SENTENCES.search(name)
        if looks(value) and (is_word or is_likely(value)):
            yield Edit(found.start("value"), found.start("value") + len(value))


# Of these much is said in sentences too: `the secret of success: …`.
_IN_SENTENCES: Final = re.compile(
    r"(?i)secret|token|cookie|credential|bearer|auth|geheimnis|\u0441\u0435\u043a\u0440"
)


def _is_said(name: str, value: str) -> bool:
    return (
        is_description(value)
        or is_said_abroad(value)
        or is_about(value)
        or secrecy(value) is not None
        or is_same_name(name, value)
        or value[0] in "[{<$%"
    )
