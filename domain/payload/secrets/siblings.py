"""Secrets beside their name in YAML, XML and commands: `name: DB_PASSWORD` over `value: …`, `mysql -p…`."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import secrecy
from masterflow.domain.payload.secrets.places import MASK, hidden_in_list

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
# <entry key="password">…</entry>, <password type="x">…</password>
_ELEMENT: Final = re.compile(
    r"""(?x)<(?:[\w.-]{1,20}:)?(?P<tag>[A-Za-z][\w.-]{0,63})(?P<rest>[^<>]{0,300})>\s*(?:<!\[CDATA\[)?(?P<value>(?!\[masked\])[^<>\s][^<>\]]{0,8000})"""
)
_NAME_ATTRIBUTE: Final = re.compile(
    r"""\b(?:name|key|id|field|property)\s*=\s*["']([\w.-]{1,64})""", re.IGNORECASE
)
_NAME_TAGS: Final = frozenset({"key", "name", "field", "parametername", "id", "variable"})
# <input type="password" value="…">
_INPUT: Final = re.compile(r"""(?is)<input\b[^<>]{0,500}>""")
_IS_PASSWORD: Final = re.compile(r"""(?i)\btype\s*=\s*["']?password""")
_ITS_VALUE: Final = re.compile(r"""(?i)\bvalue\s*=\s*["']?(?P<value>[^"'<>\s]+)""")

_COMMAND: Final = re.compile(
    r"(?<![\w-])(?:mysql\w*|mariadb(?:-dump)?|sshpass|docker|podman|helm|mongo\w*|psexec|redis-cli|ldap\w+|sqlcmd|bcp|isql"
    r"|zip|unzip|7z|curl|smbclient|plink|pscp|psftp|putty|keytool|cqlsh|ipmitool|snmp\w+|openssl|lftp|rabbitmqadmin|oc|az"
    r"|beeline)(?:\.exe)?(?=[\s\"',])"
)
_ARGUMENT: Final = re.compile(r"""(?P<double>"(?:[^"\\\n]|\\.)*")|(?P<single>'[^'\n]*')|[^\s"']+""")
_COMMAND_CHARS: Final = 600
_NET_USE: Final = re.compile(r"(?i)(?P<kept>net\s+use\s[^\n]{0,200}?/user:\S+\s+)(?P<value>[^\s/*]\S*)")


def edits_beside_names(text: str) -> list[Edit]:
    """Return what is to be masked because the name of a secret stands in the element beside it."""
    edits: list[Edit] = []
    if _VALUE_WORD.search(text):
        for pattern in (_NAME_FIRST, _VALUE_FIRST):
            for found in pattern.finditer(text):
                group = next(name for name in ("double", "single", "bare") if found[name])
                if _is_secret(found["name"], found[group]):
                    edits.append(Edit(*found.span(group)))
    if "<" in text:
        edits += _edits_in_elements(text)
    return _new(text, edits)


def _is_secret(name: str, value: str) -> bool:
    looks = secrecy(name)
    return looks is not None and looks(value) and value.lower() not in _NOTHING


_NOTHING: Final = frozenset({"none", "null", "true", "false", "nil", "undefined"})


def edits_in_commands(text: str) -> list[Edit]:
    """Return what is to be masked in command lines."""
    edits: list[Edit] = []
    commands = list(_COMMAND.finditer(text))
    ends = [command.start() for command in commands[1:]] + [len(text)]
    for command, end in zip(commands, ends, strict=False):
        line = text[command.start() : min(end, command.start() + _COMMAND_CHARS)].split("\n", 1)[0]
        words, spans = [], []
        for argument in _ARGUMENT.finditer(line):
            inset = 1 if argument["double"] or argument["single"] else 0
            words.append(argument[0][inset : len(argument[0]) - inset])
            spans.append(
                (command.start() + argument.start() + inset, command.start() + argument.end() - inset)
            )
        hidden = hidden_in_list(words) or words
        edits += [
            Edit(*span, new) for span, word, new in zip(spans, words, hidden, strict=True) if new != word
        ]
    edits += [Edit(*used.span("value")) for used in _NET_USE.finditer(text)]
    return _new(text, edits)


def _edits_in_elements(text: str) -> Iterator[Edit]:
    before = ""
    for element in _ELEMENT.finditer(text):
        tag, value = element["tag"], element["value"].rstrip()
        attribute = _NAME_ATTRIBUTE.search(element["rest"])
        name = attribute[1] if attribute else before or tag
        before = value if tag.lower() in _NAME_TAGS and len(value) < 65 else ""
        if tag.lower() not in _NAME_TAGS and (_is_secret(name, value) or _is_secret(tag, value)):
            yield Edit(element.start("value"), element.start("value") + len(value))
    for field in _INPUT.finditer(text):
        named = _NAME_ATTRIBUTE.search(field[0])
        if (_IS_PASSWORD.search(field[0]) or (named and secrecy(named[1]))) and (
            value := _ITS_VALUE.search(field[0])
        ):
            yield Edit(field.start() + value.start("value"), field.start() + value.end("value"))


def _new(text: str, edits: list[Edit]) -> list[Edit]:
    return sorted({edit for edit in edits if text[edit.start : edit.end] != MASK})
