"""Finds out how the columns of an export are written: decimal marks, units, and the order of dates."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final

from masterflow.scripts.sample_flow import cell_values
from masterflow.scripts.sample_flow.exports import Flaw
from masterflow.scripts.sample_flow.fields import unit_of

_SIZES: Final = ("ram_gb", "storage_gb")
_NUMBERS: Final = (*_SIZES, "cpu_cores", "monthly_cost")
_DAYS: Final = ("installed_on", "last_patched")
#: Fields of which a value can be wrong; those of the others are any text.
READ_FIELDS: Final = ("ip_address", *_NUMBERS, *_DAYS)

#: Where the median of sizes without a unit lies in one of these ranges, the unit is as good as known: most
#: servers have 1 to 512 GB of memory and 8 GB to 8 TB of storage. In between it is not.
_TYPICAL: Final = {
    "ram_gb": ((0, 2**9, "gb"), (2**11, 2**20, "mb"), (2**21, 2**30, "kb"), (2**30, 2**50, "b")),
    "storage_gb": ((0, 2**13, "gb"), (2**15, 2**24, "mb"), (2**25, 2**33, "kb"), (2**33, 2**60, "b")),
}
#: Gigabytes that are no slip of the unit whatever the others have, and how many times theirs are none.
_UNSUSPICIOUS: Final = {"ram_gb": (0.25, 1024, 64), "storage_gb": (0.5, 65_536, 512)}
#: What is rarer than this is a slip of the pen, no custom of the file.
_SLIPS: Final = 0.1
#: With fewer values the rows are to blame and not the column.
_MIN_VALUES_TO_JUDGE: Final = 3
_MAX_VALUE_CHARS: Final = 200


@dataclass(frozen=True)
class Notation:
    """How the values of a table are written; without a table, as in English."""

    marks: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    month_first: frozenset[str] = frozenset()
    #: Between which gigabytes a number without a unit is believed, by header.
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    #: Headers of columns whose values are mostly no such thing as the header says, with what is wrong.
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def read(self, name: str, header: str, text: str) -> Any:
        """Return what a text under a header means as a field.

        Raises:
            ValueError: it means nothing.
        """
        if len(text) > _MAX_VALUE_CHARS:
            raise ValueError("is too long")
        return _READERS[name](self, header, text)

    def size(self, header: str, text: str) -> float:
        """Return the gigabytes that a text under a header stands for.

        Raises:
            ValueError: it is no size, or would be one in another unit than the rest of the column.
        """
        mark, unit = self.marks.get(header, "."), self.units.get(header, "gb")
        size = cell_values.gigabytes(text, mark=mark, unit=unit)
        least, most = self.bounds.get(header, (0.0, math.inf))
        if size and not least <= size <= most and cell_values.unit_in(text) is None:
            raise ValueError("is far from what the others have; write its unit")
        return size


_READERS: Final[dict[str, Callable[[Notation, str, str], object]]] = {
    "ip_address": lambda _notation, _header, text: cell_values.address(text),
    "cpu_cores": lambda notation, header, text: cell_values.count(text, mark=notation.marks.get(header, ".")),
    "monthly_cost": lambda notation, header, text: cell_values.dollars(
        text, mark=notation.marks.get(header, ".")
    ),
    **dict.fromkeys(_SIZES, lambda notation, header, text: notation.size(header, text)),
    **dict.fromkeys(
        _DAYS,
        lambda notation, header, text: cell_values.day(text, month_first=header in notation.month_first),
    ),
}


def notation_of(rows: Iterable[Mapping[str, str]], columns: Mapping[str, str], *, delimiter: str) -> Notation:
    """Return how the columns of a table are written, or raise `Flaw` where that can be read in two ways."""
    texts: dict[str, list[str]] = {columns[name]: [] for name in READ_FIELDS if name in columns}
    for row in rows:
        for header, found in texts.items():
            if text := row.get(header):
                found.append(text)
    for header, column in _of(texts, columns, ("monthly_cost",)).items():
        _require_one_currency(header, column)
    marks = _marks(_of(texts, columns, _NUMBERS), delimiter)
    month_first = _month_first(_of(texts, columns, _DAYS))
    units = {
        columns[name]: _unit(name, columns[name], texts[columns[name]], mark=marks[columns[name]])
        for name in _SIZES
        if name in columns
    }
    notation = Notation(marks, units, month_first)
    bounds = {
        columns[name]: _bounds(name, [_size(notation, columns[name], text) for text in texts[columns[name]]])
        for name in _SIZES
        if name in columns
    }
    notation = replace(notation, bounds=bounds)
    return replace(notation, unreadable=_unreadable(notation, texts, columns))


def _of(
    texts: Mapping[str, list[str]], columns: Mapping[str, str], names: Iterable[str]
) -> dict[str, list[str]]:
    return {columns[name]: texts[columns[name]] for name in names if name in columns}


def _marks(texts: Mapping[str, list[str]], delimiter: str) -> dict[str, str]:
    """Return the decimal mark of each column: its own, else that of the file, else that of the delimiter.

    A semicolon between the cells is what a spreadsheet writes where the comma is in the numbers.

    Raises:
        Flaw: none of them tells, and a number depends on it.
    """
    found = {
        header: Counter(mark for text in column if (mark := _shown_mark(header, text)))
        for header, column in texts.items()
    }
    of_file = _custom(sum(found.values(), Counter()))
    usual = of_file or {",": ".", ";": ","}.get(delimiter)
    marks = {}
    for header, column in texts.items():
        mark = _custom(found[header]) if found[header] else usual
        doubtful = next(filter(cell_values.has_one_mark, column), None)
        if mark is None and doubtful is not None:
            bare, exact = doubtful.replace(".", "").replace(",", ""), doubtful.replace(",", ".")
            raise Flaw(
                f"has {doubtful!r} under {header!r}, which may be {exact} or {bare};"
                " write its numbers without thousands separators"
            )
        marks[header] = mark or "."
    return marks


def _shown_mark(header: str, text: str) -> str | None:
    """Return the decimal mark that a text surely has: `16.384 MB` would be no memory at all with a point."""
    mark = cell_values.decimal_mark(text)
    if mark is None and cell_values.has_one_mark(text):
        unit = (cell_values.unit_in(text) or unit_of(header) or "gb")[0]
        mark = ("," if "." in text else ".") if unit in "bkm" else None
    return mark


def _require_one_currency(header: str, column: list[str]) -> None:
    currencies = sorted({found for text in column if (found := cell_values.currency(text))})
    if len(currencies) > 1:
        raise Flaw(
            f"has {currencies[0]} and {currencies[1]} under {header!r}; write its amounts in one currency"
        )


def _month_first(texts: Mapping[str, list[str]]) -> frozenset[str]:
    found = {
        header: Counter(filter(None, map(cell_values.day_order, column))) for header, column in texts.items()
    }
    of_file = _custom(sum(found.values(), Counter()))
    first = set()
    for header, column in texts.items():
        order = _custom(found[header]) if found[header] else of_file
        doubtful = next(filter(cell_values.has_two_orders, column), None)
        if order is None and doubtful is not None:
            raise Flaw(
                f"has {doubtful!r} under {header!r}, of which nobody can tell the month;"
                " write its dates like 2025-06-04"
            )
        if order == "month":
            first.add(header)
    return frozenset(first)


def _custom(found: Counter[str]) -> str | None:
    """Return what nearly all agree on, or None."""
    if not found:
        return None
    [(most, times)] = found.most_common(1)
    return most if times >= (1 - _SLIPS) * found.total() else None


def _unit(name: str, header: str, column: list[str], *, mark: str) -> str:
    if unit := unit_of(header):
        return unit
    bare = [size for text in column if (size := _bare_number(text, mark))]
    if not bare:
        return "gb"
    middle = median(bare)
    for least, limit, unit in _TYPICAL[name]:
        if least <= middle < limit:
            return unit
    raise Flaw(
        f"has sizes such as {middle:g} under {header!r}, which may be MB or GB;"
        f" write the unit into the header, as in {header + ' (GB)'!r}"
    )


def _bounds(name: str, sizes: list[float]) -> tuple[float, float]:
    """Return between which gigabytes a number of a column is in the unit of the others."""
    known = [size for size in sizes if size]
    if len(known) < _MIN_VALUES_TO_JUDGE:
        return 0.0, math.inf
    least, most, times = _UNSUSPICIOUS[name]
    return min(least, median(known) / times), max(most, median(known) * times)


def _size(notation: Notation, header: str, text: str) -> float:
    try:
        return notation.size(header, text)
    except ValueError:
        return 0.0


def _bare_number(text: str, mark: str) -> float | None:
    try:
        return cell_values.number(text, mark=mark)
    except ValueError:
        return None


def _unreadable(
    notation: Notation, texts: Mapping[str, list[str]], columns: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers of columns of which most values are unreadable, with what is wrong with one."""
    found = {}
    for name in READ_FIELDS:
        header = columns.get(name, "")
        problems = [
            problem for text in texts.get(header, ()) if (problem := _problem(notation, name, header, text))
        ]
        if len(texts.get(header, ())) >= _MIN_VALUES_TO_JUDGE and len(problems) > len(texts[header]) / 2:
            found[header] = problems[0]
    return found


def _problem(notation: Notation, name: str, header: str, text: str) -> str | None:
    try:
        notation.read(name, header, text)
    except ValueError as error:
        return f"{text!r:.40} {str(error).split(';')[0]}"
    return None
