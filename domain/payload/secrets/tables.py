"""Secrets in tables written as text (CSV, Markdown, aligned columns) and in the values of SQL statements."""

import re
from collections.abc import Iterator
from typing import Final

from masterflow.domain.payload.secrets.literals import Edit, edits_of_all, read_literal
from masterflow.domain.payload.secrets.names import MASK, secrecy
from masterflow.domain.payload.secrets.places import hidden_in_map, names_secret_place
from masterflow.domain.payload.secrets.said import is_description

# What a line of names must hold for one of them to be a secret's.
_NAMED: Final = re.compile(
    r"(?i)pass|pw|secret|token|key|cred|auth|cookie|jwt|otp|pin|psk|cv[vc]|code|bearer"
)

_NAME: Final = re.compile(r"""["'`]?[A-Za-z_][\w.-]{0,40}(?: [\w.-]{1,20}){0,2}["'`]?""")
_RULE: Final = re.compile(r"[\s|+:=\u2500-\u257f-]*")
_MOST_LINE_CHARS: Final = 4_000
_MOST_LINES: Final = 5_000

_CELLS: Final = {
    marks: re.compile(rf"""(?P<cell>"(?:[^"]|"")*+"|'[^'{marks}]*'|[^{marks}]*+)(?:[{marks}]|$)""")
    for marks in (",", ";", "\t", "|\u2502\u2503")
}
_ALIGNED: Final = re.compile(r"(?P<cell>\S+(?: \S+)*)")
_WORD: Final = re.compile(r"\S+")


def edits_in_tables(text: str) -> list[Edit]:
    """Return what is to be masked below the names of secrets."""
    edits: list[Edit] = []
    start, last = 0, -1
    lines = text.split("\n", _MOST_LINES)
    starts = []
    for line in lines:
        starts.append(start)
        start += len(line) + 1
    for number, line in enumerate(lines):
        if number <= last or len(line) > _MOST_LINE_CHARS or not _NAMED.search(line):
            continue
        for marks, cells in _CELLS.items():
            found = list(_rows(lines, number, marks, cells))
            if found:
                break
        else:
            found = list(_aligned_rows(lines, number)) or list(_pair_in_row(number, lines[number]))
        for row, first, end in found:
            last = max(last, row)
            edits.append(Edit(starts[row] + first, starts[row] + end))
    return sorted(set(edits))


def _rows(
    lines: list[str], number: int, marks: str, cells: re.Pattern[str]
) -> Iterator[tuple[int, int, int]]:
    is_row = any(mark in lines[number] for mark in marks)
    places, width = _secret_cells(lines[number], cells) if is_row else ([], 0)
    if not places:
        return
    # "columns: id, password" over "rows: 12, 13" is no table.
    is_told = ": " in lines[number]
    for row in range(number + 1, len(lines)):
        line = lines[row][:_MOST_LINE_CHARS]
        if _RULE.fullmatch(line) and line.strip():
            continue
        found = list(cells.finditer(line))
        # The last line may be cut off.
        if is_told and ": " in line[: found[0].end()]:
            return
        if len(found) != width and not (len(found) > 2 and row == len(lines) - 1):
            return
        for place in places:
            if place < len(found):
                yield from _inside(row, *found[place].span("cell"), line)


def _pair_in_row(number: int, line: str) -> Iterator[tuple[int, int, int]]:
    """Yield the value of a row that has a name and a value: `| password | … |`."""
    for marks in ("|\u2502\u2503", "\t"):
        cells = [cell for cell in _CELLS[marks].finditer(line) if cell["cell"].strip()]
        if len(cells) == 2:
            name = cells[0]["cell"].strip(" \t`*")
            looks = None if "$" in name else secrecy(name)
            value = cells[1]["cell"].strip(" \t`")
            if looks is not None and looks(value) and not is_description(value):
                yield from _inside(number, *cells[1].span("cell"), line)


def _secret_cells(header: str, cells: re.Pattern[str]) -> tuple[list[int], int]:
    """Return the places of secrets' names in a line of nothing but names, and how many cells it has."""
    names = [found["cell"].strip(" \t\r\"'`") for found in cells.finditer(header)]
    if ":" in names[0]:
        # "ValueError: user" is the name of the first column behind what is told about the table.
        names[0] = names[0].rsplit(":", 1)[1].strip()
    if sum(map(bool, names)) < 2 or not all(not name or _NAME.fullmatch(name) for name in names):
        return [], 0
    return [place for place, name in enumerate(names) if name and secrecy(name)], len(names)


def _inside(row: int, start: int, end: int, line: str) -> Iterator[tuple[int, int, int]]:
    """Yield a cell without the blanks and quotes around it, if there is anything in it."""
    cell = line[start:end]
    start += len(cell) - len(cell.lstrip(" \"'`\r"))
    end -= len(cell) - len(cell.rstrip(" \"'`\r"))
    if start < end and line[start:end] != MASK and line[start:end].lower() not in {"null", "none", "nan"}:
        yield row, start, end


def _aligned_rows(lines: list[str], number: int) -> Iterator[tuple[int, int, int]]:
    """Yield the cells below a secret's name in columns that are two or more blanks apart."""
    told = lines[number].rfind(": ") + 2 if ": " in lines[number] else 0
    names = lines[number].replace('"', " ").replace("'", " ").rstrip("\r")
    header = list(_ALIGNED.finditer(names, told))
    if len(header) < 2 or not all(_NAME.fullmatch(found["cell"]) for found in header):
        return
    columns = [
        (len(header) - place, *found.span()) for place, found in enumerate(header) if secrecy(found["cell"])
    ]
    for row in range(number + 1, len(lines)) if columns else ():
        line = lines[row][:_MOST_LINE_CHARS]
        words = list(_WORD.finditer(line))
        if line.strip() and _RULE.fullmatch(line):
            continue
        if not len(header) <= len(words) <= 3 * len(header) + 1:
            return
        for column in columns:
            yield from ((row, *word.span()) for word in _below(words, column, is_shifted=told > 0))


def _below(
    words: list[re.Match[str]], column: tuple[int, int, int], *, is_shifted: bool
) -> list[re.Match[str]]:
    """Return the words that stand below a column; by its place from the right if the header is shifted."""
    from_right, start, end = column
    if is_shifted:
        below = words[-from_right : len(words) - from_right + 1]
    else:
        below = [word for word in words if word.start() < end and word.end() > start]
    return [word for word in below if word[0] != MASK]


_INSERTED: Final = re.compile(
    r"\((?P<columns>[^()']{3,2000})\)\s*(?:OVERRIDING \w+ VALUE\s*)?(?i:values?)\s*(?=\()"
)
_STATEMENT_PLACE: Final = re.compile(r"%s|\?|\$\d+|[:@]\w+|%\(\w+\)s?|.%s|.\?|.\$\d+")
_NEXT_ROW: Final = re.compile(r"\s*,\s*(?=\()")
_VERB: Final = re.compile(
    r"(?i)\b(?:insert\s+into|update|select|delete\s+from|alter|create|call|exec|merge|replace)\b"
)
_PARAMETERS: Final = re.compile(
    r"""(?i)\b(?:parameters?|params|args|arguments|bind(?:ing)?s?|values)["']?\]?\s*(?:=|:|are|is|with)?\s*(?=[\[({])"""
)
_NUMBERED: Final = re.compile(r"""[$:]\d{1,3}\s*=\s*'(?P<value>(?:[^']|'')*+)'""")
_FAILING_ROW: Final = re.compile(r"Failing row contains (?=\()")
_MOST_STATEMENTS: Final = 50
_STATEMENT_CHARS: Final = 4_000


def edits_in_statements(text: str) -> list[Edit]:
    """Return what is to be masked of the values that SQL statements put into columns of secrets."""
    edits: list[Edit] = []
    for inserted, _ in zip(_INSERTED.finditer(text), range(_MOST_STATEMENTS), strict=False):
        columns = [name.strip(' `"[]\n') for name in inserted["columns"].split(",")]
        edits += _inserted_rows(text, inserted.end(), columns)
    if any(
        names_secret_place(text[verb.start() : verb.start() + _STATEMENT_CHARS])
        for verb, _ in zip(_VERB.finditer(text), range(5), strict=False)
    ):
        for parameters, _ in zip(_PARAMETERS.finditer(text), range(_MOST_STATEMENTS), strict=False):
            literal = read_literal(text, parameters.end())
            if type(literal.value) is list:
                edits += edits_of_all(literal.value, literal.place)
        for row, _ in zip(_FAILING_ROW.finditer(text), range(5), strict=False):
            literal = read_literal(text, row.end())
            edits += edits_of_all(literal.value, literal.place)
        for numbered in _NUMBERED.finditer(text):
            if numbered["value"] not in {"", MASK}:
                edits.append(Edit(*numbered.span("value")))
    return sorted(set(edits))


def _inserted_rows(text: str, start: int, columns: list[str]) -> Iterator[Edit]:
    places = [place for place, name in enumerate(columns) if secrecy(name)]
    for _ in range(_MOST_STATEMENTS):
        row = read_literal(text, start, 2_000)
        if type(row.value) is list:
            beside = hidden_in_map(dict(zip(columns, row.value, strict=False))) or {}
            hidden = {*places, *(place for place, name in enumerate(columns) if beside.get(name) == MASK)}
            for place in sorted(hidden):
                if place < len(row.value):
                    yield from (
                        edit
                        for edit in edits_of_all(row.value[place], row.place[place])
                        if not _STATEMENT_PLACE.fullmatch(text, edit.start - 1, edit.end)
                        and not _STATEMENT_PLACE.fullmatch(text, edit.start, edit.end)
                    )
        if not (following := _NEXT_ROW.match(text, row.end)):
            return
        start = following.end()
