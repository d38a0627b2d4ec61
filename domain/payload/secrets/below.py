"""Secrets below their name: in the lines of a YAML block or list, or alone on the line under a heading."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import (
    MASK,
    Looks,
    is_about,
    is_anything,
    is_likely,
    is_token_kind,
    looks_of,
    names_tokens,
    secrecy,
)
from masterflow.domain.payload.secrets.places import is_long_token
from masterflow.domain.payload.secrets.said import is_description
from masterflow.domain.payload.secrets.suspicion import STEM

_MOST_LINES: Final = 4_000
_MOST_BELOW: Final = 200

# A line with nothing but a name, and what marks it: a heading, bold, a list's dash, a colon, a block's sign.
_NAMED: Final = re.compile(STEM)
_HEADING: Final = re.compile(
    r"""(?x)(?:[\w.]{1,60}(?:Error|Exception|Warning):[ ])?[ \t>]*
    (?P<mark>(?:-[ \t]+|\*[ \t]+|\#{1,6}[ \t]+|\*\*|__|["'`\[]|=+[ \t]+)*)
    (?P<name>[^\W\d][\w.-]*(?:[ ][\w.-]+){0,5})(?P<end>(?:["'`\]]|\*\*|__)*[ \t]*(?P<colon>[:=]?)(?:\*\*)?)
    [ \t]*(?P<block>[|>][+-]?\d?[+-]?|&\w+|!!\w+)?[ \t]*\r?"""
)
_IN_CODE: Final = re.compile(
    r"\b(?:if|elif|else|while|for|with|try|def|class|return|case|when|not|in|import|from|raise|except|assert|check)\b"
)
_RULE: Final = re.compile(r"[ \t]*(?:[-=~^*_]{3,}|```\w*|~~~)[ \t]*\r?")
_PAIR: Final = re.compile(
    r"""[ \t]*(?:-[ \t]+)?(?P<key>["']?[\w .-]{1,60}["']?)[ \t]*(?::[ \t]|=)[ \t]*(?P<value>[^\r\n]*)"""
)
_ITEM: Final = re.compile(
    r"""[ \t>]*(?:[-*$+][ \t]+)?(?P<quote>["'`]?)(?P<value>[^\r\n]*?)(?P=quote)[ \t]*,?\r?"""
)
# What pydantic says below the name of a field that it refuses.
_REFUSED: Final = re.compile(r"""input_value=(?P<value>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[^,\]\s]+)""")


class _Line(NamedTuple):
    start: int
    text: str

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip(" \t"))

    def edit(self, found: re.Match[str]) -> Edit:
        return Edit(self.start + found.start("value"), self.start + found.end("value"))


def edits_below_names(text: str) -> list[Edit]:
    """Return what is to be masked in the lines below a secret's name."""
    if "\n" not in text:
        return []
    lines, start = [], 0
    for words in text.split("\n", _MOST_LINES):
        lines.append(_Line(start, words))
        start += len(words) + 1
    edits: list[Edit] = []
    data = _SECRET_DATA if "kind: Secret" in text else frozenset[str]()
    done = 0
    for number, line in enumerate(lines[:-1]):
        if number < done or (named := _heading(line.text, data=data)) is None:
            continue
        for edit, place in _below(line, *named, lines[number + 1 : number + 1 + _MOST_BELOW]):
            edits.append(edit)
            done = number + 1 + place
    return [edit for edit in sorted(set(edits)) if text[edit.start : edit.end] != MASK]


_SECRET_DATA: Final = frozenset({"data:", "stringData:"})


def _heading(line: str, *, data: frozenset[str]) -> tuple[re.Match[str], Looks] | None:
    """Return a line that only names a secret, and what tells of a text below whether it is one."""
    is_data = line.strip() in data
    heading = _HEADING.fullmatch(line) if len(line) <= 120 and (is_data or _NAMED.search(line)) else None
    if heading is None or _IN_CODE.search(heading["name"]):
        return None
    looks = is_anything if is_data else looks_of(heading["name"])
    if looks is None and names_tokens(heading["name"]) and heading["colon"]:
        looks = is_long_token
    return None if looks is None else (heading, looks)


def _below(
    line: _Line, heading: re.Match[str], looks: Looks, below: list[_Line]
) -> Iterator[tuple[Edit, int]]:
    """Yield what is to be masked below a name, and in which of its lines it stands."""
    indent = line.indent
    first = next((one for one in below[:3] if one.text.strip()), None)
    if first is None:
        return
    is_deeper = first.indent > indent or (first.indent == indent and first.text.lstrip()[:2] == "- ")
    if heading["colon"] and is_deeper:
        if not (names_tokens(heading["name"]) and _are_words(first.indent, below)):
            yield from _in_block(heading, looks, first.indent, below)
        return
    if first.indent > indent:
        for place, one in enumerate(below[:3]):
            for refused in _REFUSED.finditer(one.text):
                yield one.edit(refused), place
    yield from _alone(heading, looks, below)


def _in_block(
    heading: re.Match[str], looks: Looks, indent: int, below: list[_Line]
) -> Iterator[tuple[Edit, int]]:
    """Yield the values of an indented block, or the whole text of one that is a text."""
    is_text = heading["block"] is not None and heading["block"][0] in "|>"
    is_tokens = names_tokens(heading["name"])
    for place, line in enumerate(below):
        if not line.text.strip():
            continue
        if line.indent < indent:
            return
        item = _ITEM.fullmatch(line.text)
        if is_text:
            start = line.start + line.indent
            yield Edit(start, line.start + len(line.text.rstrip())), place
        elif pair := _PAIR.fullmatch(line.text):
            key, value = pair["key"].strip("\"' "), pair["value"].strip().strip("\"'")
            is_one = is_token_kind(key) if is_tokens else not is_about(key)
            if value and is_one and _is_secret(value, looks if not is_tokens else _is_text):
                yield line.edit(pair), place
        elif item and " " not in item["value"] and _is_secret(item["value"], looks):
            yield line.edit(item), place


def _are_words(indent: int, below: list[_Line]) -> bool:
    """Tell whether a list of tokens holds words of a text, some of which are short."""
    for line in below:
        if line.text.strip() and line.indent < indent:
            return False
        item = _ITEM.fullmatch(line.text)
        if item and item["value"] and line.text.lstrip()[:2] == "- " and not is_long_token(item["value"]):
            return True
    return False


def _alone(heading: re.Match[str], looks: Looks, below: list[_Line]) -> Iterator[tuple[Edit, int]]:
    """Yield what stands alone on the line below a name."""
    mark, name = heading["mark"], heading["name"]
    is_marked = bool(heading["colon"] or "#" in mark or "**" in mark)
    for place, line in enumerate(below[:4]):
        if not line.text.strip():
            continue
        if _RULE.fullmatch(line.text):
            is_marked = True
            continue
        item = _ITEM.fullmatch(line.text)
        if item is None or not item["value"] or (" " in item["value"] and not item["quote"]):
            return
        value = item["value"]
        is_plain = value.isalpha() and (value[0].isupper() or not is_marked)
        if value[-1] in ":;{([=" or is_plain or not _is_secret(value, looks):
            return
        if is_marked or item["quote"] or (is_likely(value) and not re.match(r"[\w.-]+[(/=:]", value)):
            yield line.edit(item), place
        elif secrecy(name.split(" ")[-1]) is None:
            return
        return


def _is_text(value: str) -> bool:
    return not value.replace(".", "").isdigit()


def _is_secret(value: str, looks: Looks) -> bool:
    return bool(
        value
        and value[0] not in "{[<|>&*!$%"
        and looks(value)
        and not secrecy(value)
        and not is_description(value)
    )
