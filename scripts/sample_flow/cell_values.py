"""What the texts in a server list mean: amounts, days, addresses, names."""

import ipaddress
import re
from datetime import UTC, date, datetime
from typing import Final

_GIGABYTES: Final = {"": 1.0, "mb": 1 / 1024, "gb": 1.0, "tb": 1024.0}
_AMOUNT: Final = re.compile(r"(\d{1,12}(?:\.\d+)?)\s*(mb|gb|tb|)", re.IGNORECASE)
_MONEY: Final = re.compile(r"\$?\s*(\d[\d,]{0,15}(?:\.\d+)?)")
#: A day stands before its month: 04/06/2025 is the 4th of June.
_DAY_FORMATS: Final = ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d %b %Y", "%d %B %Y")


def gigabytes(text: str) -> float:
    """Return the size a text such as `16`, `16 GB`, `16384 MB` or `1.5 TB` stands for.

    Raises:
        ValueError: it is no size.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise ValueError("is no size; write it like 16 GB")
    return round(float(match[1]) * _GIGABYTES[match[2].lower()], 3)


def day(text: str) -> date:
    """Return the day that a text in one of the usual forms stands for.

    Raises:
        ValueError: it is no day of the calendar.
    """
    for form in _DAY_FORMATS:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise ValueError("is no date; write it like 2025-06-04")


def address(text: str) -> str:
    """Return an IP address in its usual form.

    Raises:
        ValueError: it is no IPv4 or IPv6 address.
    """
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError as error:
        raise ValueError("is no IP address") from error


def count(text: str) -> int:
    """Return a whole number above zero.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"\d{1,9}", text.strip()) or int(text) == 0:
        raise ValueError("is no whole number above zero")
    return int(text)


def dollars(text: str) -> float:
    """Return an amount of money such as `$1,234.50`.

    Raises:
        ValueError: it is none.
    """
    match = _MONEY.fullmatch(text.strip())
    if not match:
        raise ValueError("is no amount; write it like 1234.50")
    return float(match[1].replace(",", ""))


def hostname(text: str) -> str:
    """Return a server's name in lower case and without its domain.

    Raises:
        ValueError: there is none.
    """
    name = text.strip().lower().split(".")[0]
    if not name:
        raise ValueError("is missing")
    return name


def hostnames(text: str) -> tuple[str, ...]:
    """Return the names in a list such as `db-1; db-2`."""
    return tuple(hostname(name) for name in re.split(r"[;,|\s]+", text) if name)
