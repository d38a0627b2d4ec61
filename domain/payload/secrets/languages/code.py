"""Secrets in source code: behind a name and its type, in a call that puts a value under a name."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import MASK, secrecy
from masterflow.domain.payload.secrets.said import is_description
from masterflow.domain.payload.secrets.suspicion import STEM

_STRING: Final = (
    r"""(?:[brufBRUF@$L]{0,2}(?P<quote>\\{0,3}["'`])(?P<value>(?:(?!(?P=quote))(?:\\.|[^\\\r\n])){1,2000}))"""
)
# What may stand around a text: `Some("…")`, `Optional.of("…")`, `Field(default="…")`, `[]byte("…")`.
_WRAPPER: Final = (
    r"(?:(?:Some|Just|Ok|Option|Optional\.of|String(?:\.valueOf|::from)?|new String|str|bytes|Secret\w{0,12}"
    r"|Sensitive|Box::new|\[\]byte|Buffer\.from|Field|field|Input|Variable|pulumi\.secret|lazy|lambda:?)"
    r"[ ]?[({]?(?:[ ]?default[ ]?=)?[ ]?|&|@|\()?"
)
# A type behind a name: `: String?`, ` string`, ` As String`, `[32]`, ` { get; set; }`.
_TYPE: Final = (
    r"(?:\s?:\s?(?!=)[&*A-Za-z_][^=\n\"(){};]{0,60}|\s[Aa]s\s[\w.]{1,40}|\s\*?(?:string|\[\]byte|\[\d{0,5}\]byte|String|text"
    r"|varchar2?(?:\(\d{1,5}\))?|VARCHAR2?(?:\(\d{1,5}\))?|nvarchar(?:\(\d{1,5}\))?|CONSTANT\s[\w()]{1,30})"
    r"|\[\d{0,5}\]|\s?\{[^{}\n\"=]{0,40}\})"
)
_DECLARED: Final = re.compile(rf"(?:{STEM})[\w-]{{0,40}}+[`\"'?!]?{_TYPE}\s?:?=\s?{_WRAPPER}{_STRING}")
# What only a type of a text is.
_NAME_BEFORE: Final = re.compile(r"[\w.-]{0,80}$")

# A call that puts a value under a name, or gives one that counts where none is set.
_SETTER: Final = re.compile(
    r"(?i)(?:(?:(?:environ|env)\.)?\w{0,40}?(?:set|put|define|add|store|insert|append|write|save|push|register|config(?:ure)?|assign|update"
    r"|replace|upsert|override|property|option|setting|secret|param(?:eter)?|header|field|env|const|value|pair|entry"
    r"|default|map|tuple|type|fill|send_?keys)\w{0,24}|environ\.get|env\.fetch)"
)
_FUNCTION: Final = re.compile(r"(?:(?i:environ|env)\.)?\w{1,80}$")
_BEFORE_NAME: Final = re.compile(r"\s*(?:[$\w.>\[\]\"'#-]{1,60}\s*,\s*)?[brufL@$]{0,2}[\"'`]")
_MOST_BEFORE: Final = 140

# Credentials("realm", "host", "bob", "…"): the last of up to five texts.
_LAST_ARGUMENT: Final = re.compile(
    r"redentials?\(\s*(?:[\"'][^\"'\n]{0,200}[\"']\s*,\s*){1,4}(?P<quote>[\"'])(?P<value>[^\"'\n]{1,200})(?P=quote)\s*\)"
)


def edits_in_code(text: str) -> list[Edit]:
    """Return what is to be masked in declarations and calls."""
    return sorted(set(_edits_in_code(text)))


def is_put_by_call(text: str, start: int) -> bool:
    """Tell whether what begins here is the name under which a call puts a value: `define('NAME', …)`."""
    begin = max(0, start - _MOST_BEFORE)
    opened = text.rfind("(", begin, start)
    if opened < 0 or not _BEFORE_NAME.fullmatch(text, opened + 1, start):
        return False
    function = _FUNCTION.search(text, max(begin, opened - 80), opened)
    return (
        function is not None and "getattr" not in function[0] and _SETTER.fullmatch(function[0]) is not None
    )


def is_put(name: str, value: str) -> bool:
    """Tell whether a text that a call puts under a name is a secret."""
    looks = secrecy(name)
    if looks is None or value == MASK or is_description(value) or value[0] in "{$<%":
        return False
    return looks(value) and not (secrecy(value) and value.replace("_", "").isalpha())


def _edits_in_code(text: str) -> Iterator[Edit]:
    for found in _DECLARED.finditer(text):
        before = _NAME_BEFORE.search(text, max(0, found.start() - 60), found.start())
        stem = re.match(r"[\w.-]+", text[found.start() :][:60])
        name = (before[0] if before else "") + (stem[0] if stem else "")
        looks = secrecy(name)
        if looks and looks(found["value"]) and not is_description(found["value"]):
            yield Edit(*found.span("value"))
    if "redential" in text:
        for found in _LAST_ARGUMENT.finditer(text):
            yield Edit(*found.span("value"))


def is_type(word: str, text: str, end: int) -> bool:
    """Tell whether a word behind a name and colon is its type: an equals sign follows it."""
    return _IS_TYPE.fullmatch(word) is not None and _ASSIGNED.match(text, end) is not None


_IS_TYPE: Final = re.compile(
    r"[&*]?(?:[A-Z][\w.]*|str|string|bytes|char|any|object|byte|text)(?:[<\[][\w.,\s|&?']*[>\]]?)?[?!]?"
)
_ASSIGNED: Final = re.compile(r"[\w\[\]<>,|&?!. ']{0,60}?[ \t]*=(?!=)")
