"""What the texts in a server list mean: amounts, days, addresses, names."""

import ipaddress
import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

#: Gigabytes in a unit; people write 16 GB and mean 16 GiB.
GIGABYTES: Final = {
    unit: 1024.0**power
    for power, units in (
        (-3, ("b", "byte", "bytes")),
        (-2, ("k", "kb", "kib", "ko")),
        (-1, ("m", "mb", "mib", "mo")),
        (0, ("g", "gb", "gib", "go")),
        (1, ("t", "tb", "tib", "to")),
    )
    for unit in units
}
#: What stands between groups of digits, whichever of point and comma is the decimal mark.
_GROUPS: Final = "' \u2019"
_SIZE: Final = re.compile(rf"([\d.,{_GROUPS}]+?)\s*([a-z]*)", re.IGNORECASE)
_CURRENCY: Final = r"(?:US\$|[$€£¥]|[A-Z]{3})"
_MONEY: Final = re.compile(rf"{_CURRENCY}?\s*([\d.,{_GROUPS}]+?)\s*{_CURRENCY}?")
_CORES: Final = re.compile(rf"([\d.,{_GROUPS}]+?)\s*(?:v?cpus?|cores?|vcores?|)", re.IGNORECASE)

_DAY_AND_TIME: Final = re.compile(r"(.+?)(?:[T,]?\s*\d{1,2}:\d{2}.*)?")
_NUMBERED_DAY: Final = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{4}|\d{2})")
_NAMED_DAY_FORMATS: Final = ("%d %b %Y", "%d %B %Y", "%d %b %y", "%b %d %Y", "%B %d %Y", "%Y%m%d")
#: Older days are what programs write where they know none.
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2100


#: By decimal mark: a number, and what stands between its groups of digits (in India of two).
_NUMBERS: Final = {
    mark: (
        re.compile(
            rf"(?:\d{{1,15}}|\d{{1,3}}(?:([{other}{_GROUPS}])(?:\d{{2,3}}\1)*\d{{3}}))(?:\{mark}\d{{1,12}})?"
        ),
        re.compile(f"[{other}{_GROUPS}]"),
    )
    for mark, other in ((".", ","), (",", "."))
}

#: Most values of a column stand in it many times.
_remembered: Final = lru_cache(maxsize=10_000)


def number(text: str, *, mark: str = ".") -> float:
    """Return the number that a text stands for, with this decimal mark unless the text itself tells it.

    Raises:
        ValueError: it is no number.
    """
    mark = decimal_mark(text) or mark
    form, group = _NUMBERS[mark]
    if not form.fullmatch(text.strip()):
        raise ValueError("is no number")
    return float(group.sub("", text.strip()).replace(",", "."))


@_remembered
def decimal_mark(text: str) -> str | None:
    """Return the decimal mark that a text surely has, or None: `1.234` may be either."""
    marks = re.findall(r"[.,]", text)
    other = {".": ",", ",": "."}
    if len(set(marks)) > 1:
        return str(marks[-1])
    if len(marks) > 1:
        return other[marks[0]]
    if not marks or re.search(r"(?<!\d)[1-9]\d{0,2}[.,]\d{3}(?!\d)", text):
        return None
    return str(marks[0])


@_remembered
def unit_in(text: str) -> str | None:
    """Return the unit that a size has, in lower case, or None."""
    match = _SIZE.fullmatch(text.strip())
    return match[2].lower() or None if match and match[2].lower() in GIGABYTES else None


@_remembered
def currency(text: str) -> str | None:
    """Return the currency that an amount names, or None."""
    found = re.search(_CURRENCY, text) if _MONEY.fullmatch(text.strip()) else None
    return (
        {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}.get(found[0], found[0])
        if found
        else None
    )


@_remembered
def has_one_mark(text: str) -> bool:
    """Tell whether a text has a single point or comma that may be either mark."""
    return len(re.findall(r"[.,]", text)) == 1 and decimal_mark(text) is None


@_remembered
def gigabytes(text: str, *, mark: str = ".", unit: str = "gb") -> float:
    """Return the size a text such as `16 GB`, `16384 MB` or `1.5 TiB` stands for; `16` is of the given unit.

    Raises:
        ValueError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = GIGABYTES.get(match[2].lower() or unit) if match else None
    if match is None or factor is None:
        raise ValueError("is no size; write it like 16 GB")
    try:
        return round(number(match[1], mark=mark) * factor, 3)
    except ValueError as error:
        raise ValueError("is no size; write it like 16 GB") from error


@_remembered
def day(text: str, *, month_first: bool = False) -> date:
    """Return the day that a text in one of the usual forms stands for, whatever time it adds.

    Raises:
        ValueError: it is no day of the calendar, or none of this age.
    """
    found = _DAY_AND_TIME.fullmatch(text.strip())
    bare = found[1] if found else ""
    numbered = _NUMBERED_DAY.fullmatch(bare) or re.fullmatch(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})", bare)
    try:
        at = _numbered_day(numbered, month_first=month_first) if numbered else _named_day(bare)
    except ValueError as error:
        raise ValueError("is no date; write it like 2025-06-04") from error
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(f"is no date between {_FIRST_YEAR} and {_LAST_YEAR}")
    return at


@_remembered
def day_order(text: str) -> str | None:
    """Return `month` or `day`, whichever surely comes first in a date such as 06/24/2025, or None."""
    found = re.match(r"(\d{1,2})[-/](\d{1,2})[-/]\d{2,4}(?!\d)", text.strip())
    if not found or max(int(found[1]), int(found[2])) <= 12:
        return None
    return "day" if int(found[1]) > 12 else "month"


@_remembered
def has_two_orders(text: str) -> bool:
    """Tell whether a date such as 06/04/2025 is another one with the month first."""
    found = re.match(r"(\d{1,2})[-/](\d{1,2})[-/]\d{2,4}(?!\d)", text.strip())
    return found is not None and found[1] != found[2] and max(int(found[1]), int(found[2])) <= 12


def _numbered_day(found: re.Match[str], *, month_first: bool) -> date:
    if len(found[1]) == 4:
        return date(int(found[1]), int(found[3]), int(found[4]))
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    if len(found[4]) == 2:
        year += 2000 if year < 70 else 1900
    is_month_first = found[2] != "." and (second > 12 or (month_first and first <= 12))
    return date(year, first, second) if is_month_first else date(year, second, first)


def _named_day(text: str) -> date:
    words = " ".join(re.split(r"[-,\s]+", text.strip()))
    words = re.sub(r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\s+", "", words, flags=re.IGNORECASE)
    for form in _NAMED_DAY_FORMATS:
        try:
            return datetime.strptime(words, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise ValueError("has no name of a month")


@_remembered
def address(text: str) -> str:
    """Return an IP address in its usual form; of several the first.

    Raises:
        ValueError: it is no IPv4 or IPv6 address.
    """
    try:
        found = [str(ipaddress.ip_interface(part).ip) for part in re.split(r"[;,|\s]+", text.strip()) if part]
        return found[0]
    except (ValueError, IndexError) as error:
        raise ValueError("is no IP address") from error


@_remembered
def count(text: str, *, mark: str = ".") -> int:
    """Return a whole number above zero.

    Raises:
        ValueError: it is none.
    """
    match = _CORES.fullmatch(text.strip())
    try:
        found = number(match[1], mark=mark) if match else 0.0
    except ValueError:
        found = 0.0
    if found <= 0 or found != int(found):
        raise ValueError("is no whole number above zero")
    return int(found)


@_remembered
def dollars(text: str, *, mark: str = ".") -> float:
    """Return an amount of money such as `$1,234.50`, in whatever currency it is.

    Raises:
        ValueError: it is none.
    """
    match = _MONEY.fullmatch(text.strip())
    if not match:
        raise ValueError("is no amount; write it like 1234.50")
    try:
        return number(match[1], mark=mark)
    except ValueError as error:
        raise ValueError("is no amount; write it like 1234.50") from error


def hostname(text: str) -> str:
    """Return a server's name in lower case and without its domain, or its address if that is its name.

    Raises:
        ValueError: there is none.
    """
    text = re.sub("[\u2010-\u2015\u2212]", "-", text.strip().lower())
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        name = text.split(".")[0]
    if not name:
        raise ValueError("is missing")
    return name


def hostnames(text: str) -> tuple[str, ...]:
    """Return the names in a list such as `db-1; db-2`."""
    return tuple(hostname(name) for name in re.split(r"[;,|\s]+", text) if name)
