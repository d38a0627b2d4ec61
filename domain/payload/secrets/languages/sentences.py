"""Secrets in sentences: `the password is …`, `changed from … to …`, `la clave es …`, a phrase of words."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.languages.named import PASSWORDS, Named, words_before
from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import (
    MASK,
    is_anything,
    is_likely,
    is_secret_word,
    secrecy,
    words_of,
)
from masterflow.domain.payload.secrets.said import is_description, is_said_abroad, is_said_of

#: What leads from a name to its value in a sentence. Of other languages' words some are also English ones.
TOLD: Final = (
    r"(?:(?:(?:has[ ]been|was|is|were|got)[ ])?(?:changed|rotated|reset|updated|switched|modified)[ ]from"
    r"|from|[iI][sS]|[wW]as|are|equals|has[ ]been"
    r"|(?:set|changed|reset|updated)[ ]to|to|[=-]>|\u2192|[-\u2013\u2014]"
    r"|ist|war|lautet|heisst|hei\xdft|es|era|ser\xe1|est|sera|\xe9|foi|\xe8|sar\xe0|\xe4r|\xe4ndrades[ ]till"
    r"|er|on|wordt|jest|je|olarak|l\xe0)"
)
_FOREIGN_TOLD: Final = words_of(
    """ist war lautet heisst hei\xdft es era ser\xe1 est sera \xe9 foi \xe8 sar\xe0 \xe4r er on wordt jest je
    l\xe0"""
)
#: Names of passwords of languages but English; "password" is one of theirs too where another word follows.
_FOREIGN: Final = re.compile(
    r"(?i)(?:mot de passe|contrase\w+|clave|senha|pass(?:wor[dt]|ord)(?:et)?|kennwort"
    r"|losenord\w*|l\xf6senord\w*|wachtwoord|has[l\u0142]o|adgangskode\w*|kodeord\w*|salasana\w*|heslo|lozinka|geslo|jelsz\w+|parol\w*"
    r"|\u043f\u0430\u0440\u043e\u043b\u044c|m\u1eadt kh\u1ea9u|code|pin|token|secret)$"
)
_TOLD_VALUE: Final = re.compile(
    r"""(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,500})(?P=quote)?
    |[\xab\u201c\u201e\u2018\u300c\u300e][ \xa0]?(?P<framed>[^\r\n\xbb\u201c\u201d\u2019\u300d\u300f]{1,500}?)
        [ \xa0]?[\xbb\u201c\u201d\u2019\u300d\u300f]
    |(?P<bare>[^\s"'<>,;`]{1,500})""",
    re.VERBOSE,
)
_SENTENCE_END: Final = re.compile(
    r"[.!?;,)\"'\]}]*(?:$|\s*\n|[.!;)]\s|,? (?:and|then|but|so|y|et|und|e|och|og|i)\b)"
)
_ALGORITHM: Final = re.compile(
    r"(?i)base-?\d+|sha-?\d+|md5|utf-?\d+|o?auth-?\d|http/?\d|v\d+\w*|aes\S*|rsa\d*|ed25519|\d+[a-z]{0,3}"
)
_HAS_DIGIT: Final = re.compile(r"\d")
_LEAST_CHARS: Final = 4
# What makes a word behind "password to" one: `set the password to …`.
_CHANGING: Final = words_of("set reset change changed changing update updated rotated rotate setting")
_DASHES: Final = words_of("- \u2013 \u2014")
_TO: Final = re.compile(r"[ \t]+(?:to|into|->|\u2192)[ \t]+")


def is_algorithm(word: str) -> bool:
    """Tell whether a word is the name of an algorithm, format or version."""
    return _ALGORITHM.fullmatch(word) is not None


def edits_told(text: str, named: Named) -> list[Edit]:
    """Return what is to be masked of what a sentence tells of a secret."""
    value = _TOLD_VALUE.match(text, named.found.end())
    if value is None or named.name.lower().endswith("auth"):
        return []
    told = named.found["told"].strip()
    if told.endswith("from"):
        return _edits_from_to(text, named, value)
    group = next(name for name in ("quoted", "framed", "bare") if value[name])
    if group != "bare":
        is_one = named.looks(value[group]) and not secrecy(value[group])
        return [Edit(*value.span(group))] if is_one else []
    word = value["bare"].rstrip(".!?)")
    start = value.start("bare")
    is_clave = named.looks is is_likely and named.name.lower().endswith("clave")
    if (
        not word
        or not (named.looks(word) or is_clave)
        or text[start + len(word) : start + len(word) + 1] == "("
    ):
        return []
    is_one = _is_no_word(word, named)
    if told in _DASHES:
        is_one = is_one and is_likely(word) and named.looks is is_anything
    if is_one or (_is_told(text, named, told, word) and _is_last_word(text, start, word)):
        return [Edit(start, start + len(word))]
    return []


def _is_told(text: str, named: Named, told: str, word: str) -> bool:
    """Tell whether a mere word may be a secret behind what leads to it."""
    is_abroad = _FOREIGN.search(named.name) is not None and not is_said_abroad(word)
    if told in _DASHES:
        return not named.name.isascii() and named.looks is is_anything
    if told in _FOREIGN_TOLD:
        return is_abroad
    if told == "to" and named.name.isascii():
        return not _CHANGING.isdisjoint(word.lower() for word in words_before(text, named)[-4:])
    return PASSWORDS.search(named.name) is not None or is_abroad


def _is_no_word(word: str, named: Named) -> bool:
    if named.looks is is_secret_word:
        return _HAS_DIGIT.search(word) is not None and is_secret_word(word)
    return (named.looks is not is_anything and named.looks(word)) or (
        not is_algorithm(word)
        and (
            is_likely(word)
            or (len(word) >= _LEAST_CHARS and not word.isalpha() and _HAS_DIGIT.search(word) is not None)
        )
    )


def _is_last_word(text: str, start: int, word: str) -> bool:
    """Tell whether a word ends its sentence and says nothing about a password, so that it may be one."""
    return (
        (word.isalpha() or word.isdigit())
        and len(word) >= _LEAST_CHARS
        and not is_said_of(word)
        and _SENTENCE_END.match(text, start + len(word)) is not None
    )


def _edits_from_to(text: str, named: Named, old: re.Match[str]) -> list[Edit]:
    """Return both values of "changed from … to …", if either is no mere word, or a sentence ends."""
    is_changed = named.found["told"].strip() != "from" or not _CHANGING.isdisjoint(
        word.lower() for word in words_before(text, named)[-4:]
    )
    to = _TO.match(text, old.end())
    new = _TOLD_VALUE.match(text, to.end()) if to and is_changed else None
    if new is None:
        return []
    edits: list[Edit] = []
    certain = False
    for value in (old, new):
        group = next(name for name in ("quoted", "framed", "bare") if value[name])
        word = value[group].rstrip(".!?)")
        if is_description(word) or secrecy(word):
            return []
        start = value.start(group)
        edits.append(Edit(start, start + len(word)))
        certain = certain or group != "bare" or _is_no_word(word, named)
    is_ended = _is_last_word(text, edits[1].start, text[edits[1].start : edits[1].end])
    return edits if named.looks is is_anything and (certain or is_ended) else []


# Scripts without blanks between words.
_UNSPACED: Final = re.compile(
    r"(?:\u5bc6[\u7801\u78bc]|\u53e3\u4ee4|\u30d1\u30b9\u30ef\u30fc\u30c9|\ube44\ubc00\ubc88\ud638|\uc554\ud638"
    r"|\u0e23\u0e2b\u0e31\u0e2a\u0e1c\u0e48\u0e32\u0e19|\u9a8c\u8bc1\u7801|\u6697\u8a3c\u756a\u53f7)"
    r"(?:\u0e04\u0e37\u0e2d|\u662f|\u4e3a|\u70ba|\u306f|\u304c|\ub294|\uc740|\uac00)"
    r"[ \u3000]?[:\uff1a]?[ \u3000]?"
    r"[\"'\u300c\u300e\u201c\u201d\u2018]?(?P<value>[!-~]{4,200})"
)
# The verb comes last: `şifre … olarak …`.
_VERB_LAST: Final = re.compile(
    r"(?:[\u015fs]ifre|parola)\w{0,6}[ \t]+[\"']?(?P<value>[^\s\"']{4,100})[\"']?[ \t]+olarak\b"
)
# Words behind what names a phrase of them: in a row, numbered, one a line.
_PHRASE: Final = re.compile(
    r"(?i:seed|recovery|backup|secret|mnemonic|wallet|bip-?39)[\s_-]?(?i:phrase|words?|mnemonic|seed)?[\"'\]]{0,2}"
    r"[^\n.:=]{0,40}?(?:[:=\n]|\bis\b|\bare\b|\()[\s\"'\[(`*]{0,12}+"
    r"(?P<value>(?:(?:\d{1,2}[.):]?\s{0,3})?[\"'`]?[a-z]{3,8}\b[\"'`]?"
    r"(?:[ \t,]{1,3}|[ \t\r]{0,9}\n\s{0,9}|(?=[^\w\s-]|$))){11,33})"
)
_GLUE: Final = re.compile(
    r"\b(?:the|and|for|are|was|were|your|from|not|but|been|has|had|must|may|can|which|its|our|their|then|them|should"
    r"|would|could|does|did|who|how)\b"
)
_PHRASE_WORDS: Final = ("seed", "hrase", "nemonic", "words")


def edits_in_sentences(text: str) -> list[Edit]:
    """Return what is to be masked of what is told without blanks, and of phrases of words."""
    return sorted(set(_edits_in_sentences(text)))


def _edits_in_sentences(text: str) -> Iterator[Edit]:
    if not text.isascii():
        for found in _UNSPACED.finditer(text):
            if found["value"] != MASK and not found["value"].startswith(("[masked", "{", "$")):
                yield Edit(*found.span("value"))
    if "olarak" in text:
        yield from (Edit(*found.span("value")) for found in _VERB_LAST.finditer(text))
    if any(word in text for word in _PHRASE_WORDS):
        for found in _PHRASE.finditer(text):
            if not _GLUE.search(found["value"]):
                yield Edit(
                    found.start("value"), found.start("value") + len(found["value"].rstrip(" \n,\"'`"))
                )
