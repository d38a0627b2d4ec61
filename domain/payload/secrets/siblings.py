"""Secrets whose name and value are two values side by side: `name: DB_PASSWORD` over `value: …`."""

import re
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import MASK, secrecy

_NAME_KEY: Final = (
    r"(?:name|key|variable|var|env|field|param(?:eter)?|header|property|option|setting|id|label"
    r"|Name|Key|Variable|Field|Parameter|Header|NAME|KEY)"
)
_VALUE_KEY: Final = r"(?:value|val|content|default|data|text|Value|Val|Content|Default|VALUE|defaultValue)"
_QUOTED: Final = (
    r"""(?:\\*"(?P<double>[^"\r\n]{1,4000}+)|\\*'(?P<single>[^'\r\n]{1,4000}+)"""
    r"""|(?P<bare>[^\s"',;<>{}()\[\]\\]{1,500}+))"""
)

_VALUE_WORD: Final = re.compile(r"[vV]al|VALUE|ontent|efault|data|text")
_NAME_FIRST: Final = re.compile(
    rf"""(?x)(?<![A-Za-z]){_NAME_KEY}["'\\]*\s*(?:=>|[:=])\s*\\*["']?(?P<name>[A-Za-z_][\w.-]{{1,63}})\\*["']?
    (?:\n[ \t]+(?!(?i:name|key|value)\b)\w{{1,30}}:[^\n]{{0,80}}){{0,4}}
    [\s,;|]{{1,40}}(?:-\s)?["']?{_VALUE_KEY}["'\\]*\s*(?:=>|[:=])\s*{_QUOTED}"""
)
_VALUE_FIRST: Final = re.compile(
    rf"""(?x)(?<![A-Za-z]){_VALUE_KEY}["'\\]*\s*(?:=>|[:=])\s*{_QUOTED}["'\\]*
    [\s,;|]{{1,40}}["']?{_NAME_KEY}["'\\]*\s*(?:=>|[:=])\s*\\*["']?(?P<name>[A-Za-z_][\w.-]{{1,63}})"""
)


# variable "db_password" { default = "…" }
_IN_BLOCK: Final = re.compile(
    rf"""(?x)"(?P<name>[A-Za-z_][\w.-]{{1,63}})"\s*:?\s*\{{[^{{}}]{{0,300}}?\b(?:default|value)["']?\s*[=:]\s*{_QUOTED}"""
)


def edits_beside_names(text: str) -> list[Edit]:
    """Return what is to be masked because the name of a secret stands in the element beside it."""
    edits: list[Edit] = []
    if _VALUE_WORD.search(text):
        for pattern in (_NAME_FIRST, _VALUE_FIRST, _IN_BLOCK):
            for found in pattern.finditer(text):
                group = next(name for name in ("double", "single", "bare") if found[name])
                if _is_secret(found["name"], found[group]):
                    edits.append(Edit(*found.span(group)))
    return _new(text, edits)


def _is_secret(name: str, value: str) -> bool:
    looks = secrecy(name)
    return looks is not None and looks(value) and value.lower() not in _NOTHING


_NOTHING: Final = frozenset({"none", "null", "true", "false", "nil", "undefined"})


def _new(text: str, edits: list[Edit]) -> list[Edit]:
    return sorted({edit for edit in edits if text[edit.start : edit.end] != MASK})
