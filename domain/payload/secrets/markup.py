"""Secrets in HTML and XML: in an element or attribute of their name, in the cell beside it or below it."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit
from masterflow.domain.payload.secrets.names import MASK, Looks, is_likely, looks_of, secrecy
from masterflow.domain.payload.secrets.said import is_description

# <entry key="password">…</entry>, <password type="x">…</password>, <td>…</td>
_ELEMENT: Final = re.compile(
    r"""(?x)<(?P<close>/?)(?:[\w.-]{1,20}:)?(?P<tag>[A-Za-z][\w.-]{0,63})(?P<rest>[^<>]{0,300})>\s*+
    (?:<!\[CDATA\[)?(?P<text>[^<>\]]{0,8000})"""
)
_NAME_ATTRIBUTE: Final = re.compile(
    r"""\b(?:name|key|id|field|property)\s*=\s*["']([\w.-]{1,64})""", re.IGNORECASE
)
_NAME_TAGS: Final = frozenset({"key", "name", "field", "parametername", "id", "variable"})
_VOID_TAGS: Final = frozenset({"input", "meta", "link", "br", "hr", "img", "option", "button", "a"})
_CELL_TAGS: Final = frozenset({"td", "th", "dt"})
_ROW_TAGS: Final = frozenset({"tr", "table", "thead", "tbody", "dl", "ul", "ol"})

# <input type="password" value="…">
_INPUT: Final = re.compile(r"""(?is)<input\b[^<>]{0,500}>""")
_IS_PASSWORD: Final = re.compile(r"""(?i)\btype\s*=\s*["']?password""")
_ITS_VALUE: Final = re.compile(r"""(?i)\bvalue\s*=\s*["']?(?P<value>[^"'<>\s]+)""")

_CAPTION: Final = re.compile(r"(?P<name>[^\W\d][\w.'-]*(?: [\w.'-]+){0,4}) ?(?P<colon>:?)")


def edits_in_markup(text: str) -> list[Edit]:
    """Return what is to be masked in elements."""
    if "<" not in text:
        return []
    reader = _Reader()
    edits = [edit for element in _ELEMENT.finditer(text) for edit in reader.read(element)]
    edits += _edits_in_fields(text)
    return sorted({edit for edit in edits if text[edit.start : edit.end] != MASK})


class _Reader:
    """Reads elements one after another, and knows which name stands beside and above each."""

    def __init__(self) -> None:
        self._named: tuple[str, Looks | None] = "", None
        self._is_caption = False
        self._caption_tag = ""
        self._cell = -1
        #: The secrets' columns of a table: by place, what tells of a cell below whether it is one.
        self._columns: dict[int, Looks] = {}
        #: The cells of this row that may be a column's name: by place, and whether they are all such names.
        self._row: dict[int, Looks | None] = {}
        self._is_header = True

    def read(self, element: re.Match[str]) -> Iterator[Edit]:
        """Take an element in, and what stands behind its tag; yield what is to be masked of it."""
        tag = element["tag"].lower()
        if tag in _ROW_TAGS:
            self._end_row(is_table=tag == "table")
        elif tag in {"td", "th"} and not element["close"]:
            self._cell += 1
        value = element["text"].rstrip()
        if not value or value.startswith(MASK[:-1]):
            self._named = ("", None) if value else self._named
            return
        if tag in _VOID_TAGS and not element["close"]:
            return
        own = None if element["close"] else self._own_looks(element, tag, value)
        looks = own if own is not None else self._looks_beside(tag, value)
        self._name_next(tag, value, is_masked=looks is not None)
        if looks is not None and looks(value) and value.lower() not in {"none", "null", "true", "false"}:
            yield Edit(element.start("text"), element.start("text") + len(value))

    def _own_looks(self, element: re.Match[str], tag: str, value: str) -> Looks | None:
        """Return what tells of a text whether it is a secret by the name of its own element."""
        if tag in _NAME_TAGS:
            return None
        attribute = _NAME_ATTRIBUTE.search(element["rest"])
        named = self._named[0] if self._caption_tag in _NAME_TAGS else ""
        looks = secrecy(attribute[1] if attribute else named or tag) or secrecy(tag)
        return looks if looks is not None and looks(value) else None

    def _looks_beside(self, tag: str, value: str) -> Looks | None:
        """Return the same by the name in the cell or element before, or above."""
        if self._cell in self._columns and tag != "th":
            return self._columns[self._cell]
        looks = self._named[1]
        if looks is None or tag == "th" or is_description(value):
            return None
        return looks if self._is_caption else is_likely

    def _name_next(self, tag: str, value: str, *, is_masked: bool) -> None:
        caption = None if is_masked else _CAPTION.fullmatch(value)
        looks = looks_of(caption["name"]) if caption and len(value) < 65 else None
        in_cell = self._cell >= 0
        if in_cell:
            self._row[self._cell] = looks if tag == "th" or self._cell else None
            self._is_header &= caption is not None
        # In a row of cells a name is the first one.
        if tag in {"td", "th"} and self._cell > 0 and not (caption and caption["colon"]):
            looks = None
        self._named = value, looks
        self._caption_tag = tag
        self._is_caption = looks is not None and (tag in _CELL_TAGS or in_cell or value.endswith(":"))

    def _end_row(self, *, is_table: bool) -> None:
        if is_table:
            self._columns = {}
        elif len(self._row) > 1 and self._is_header and not self._columns:
            self._columns = {place: looks for place, looks in self._row.items() if looks is not None}
        self._row, self._is_header, self._cell = {}, True, -1
        self._named, self._is_caption = ("", None), False


def _edits_in_fields(text: str) -> Iterator[Edit]:
    for field in _INPUT.finditer(text):
        named = _NAME_ATTRIBUTE.search(field[0])
        if (_IS_PASSWORD.search(field[0]) or (named and secrecy(named[1]))) and (
            value := _ITS_VALUE.search(field[0])
        ):
            yield Edit(field.start() + value.start("value"), field.start() + value.end("value"))
