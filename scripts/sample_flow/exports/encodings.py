"""Turns the bytes of an export into text: UTF-8, UTF-16, UTF-32, and cp1252 if it surely is that."""

import codecs
import re
from typing import Final

from masterflow.scripts.sample_flow.exports import Flaw

#: The longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_OTHER_FORMATS: Final = (
    (b"PK\x03\x04", "is an Excel workbook or another archive; export its sheet as 'CSV UTF-8'"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook; export its sheet as 'CSV UTF-8'"),
    (b"\x1f\x8b", "is compressed; unpack it first"),
    (b"<", "is HTML or XML; export it as 'CSV UTF-8'"),
    (b"{", "is JSON; export it as 'CSV UTF-8'"),
    (b"[{", "is JSON; export it as 'CSV UTF-8'"),
)

_SAVE_AS: Final = "save it as 'CSV UTF-8'"
_SAMPLE_BYTES: Final = 4096

#: What text in another encoding turns into when it is read as cp1252: signs within words, where no Western
#: European language has them, letters that hardly any has, and long runs of letters beyond ASCII.
_SIGNS: Final = (
    "\u201a\u201e\u2020\u2021\u02c6\u2030\u2039\u201c\u201d\u2022\u02dc\u203a\u20ac"
    "\xa1-\xa8\xaa-\xac\xaf\xb1-\xb4\xb6\xb8\xb9\xbb-\xbf\xd7\xf7"
)
_FOREIGN: Final = re.compile(
    f"[A-Za-z\xc0-\xff][{_SIGNS}][A-Za-z\xc0-\xff]|[\u0178\u0192\u017d]|(?![äöüßÄÖÜ]{{4}})[^\\x00-\\x7f]{{4}}"
)


def decoded(data: bytes) -> tuple[str, str]:
    """Return the text of a file, and the name of its encoding.

    Raises:
        Flaw: it is another kind of file, or nobody can tell its encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded_as(encoding, data), encoding
    for start, finding in _OTHER_FORMATS:
        if data.lstrip().startswith(start):
            raise Flaw(finding)
    if b"\0" in data:
        encoding = _utf16_without_mark(data[:_SAMPLE_BYTES])
        return _decoded_as(encoding, data), encoding
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError as error:
        _refuse_mixture(data)
        return _western(data, error), "cp1252"


def _decoded_as(encoding: str, data: bytes) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Flaw(
            f"begins like {encoding.upper()} and is not ({_place(data, error.start)}); {_SAVE_AS}"
        ) from error


def _utf16_without_mark(sample: bytes) -> str:
    """Return which UTF-16 it is: text of mostly ASCII has a NUL in every second place.

    Raises:
        Flaw: it is no text at all.
    """
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) < len(sample) // 4 or min(even, odd) > len(sample) // 50:
        raise Flaw("is a binary file; export it as 'CSV UTF-8'")
    return "utf-16-le" if odd > even else "utf-16-be"


def _refuse_mixture(data: bytes) -> None:
    """Refuse a file of which some lines are UTF-8 and some are not.

    Raises:
        Flaw: it is one.
    """
    found: dict[bool, int] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.isascii():
            found.setdefault(_is_utf8(line), number)
    if len(found) > 1:
        raise Flaw(f"mixes encodings: line {found[True]} is UTF-8, line {found[False]} is not; {_SAVE_AS}")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _western(data: bytes, error: UnicodeDecodeError) -> str:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as unknown:
        error, text = unknown, ""
    if not text or _FOREIGN.search(text):
        place = _place(data, error.start)
        raise Flaw(f"is neither UTF-8 nor Western European (cp1252): {place}; {_SAVE_AS}") from error
    return text


def _place(data: bytes, offset: int) -> str:
    line = data.count(b"\n", 0, offset) + 1
    return f"line {line} holds the byte 0x{data[offset]:02x} (at offset {offset})"
