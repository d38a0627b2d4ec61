"""Hide secrets: in free text by their shape or the name before them, in mappings by the name of their key."""

import base64
import html
import re
from binascii import Error as Base64Error
from typing import Final
from urllib.parse import unquote

from masterflow.domain.payload.secrets.below import edits_below_names
from masterflow.domain.payload.secrets.commands import edits_in_commands
from masterflow.domain.payload.secrets.languages.code import edits_in_code
from masterflow.domain.payload.secrets.languages.dialogues import edits_in_dialogues
from masterflow.domain.payload.secrets.languages.directives import edits_in_directives
from masterflow.domain.payload.secrets.languages.qualified import edits_in_qualified
from masterflow.domain.payload.secrets.languages.sentences import edits_in_sentences
from masterflow.domain.payload.secrets.literals import apply_edits, edits_in_literals
from masterflow.domain.payload.secrets.markup import edits_in_markup
from masterflow.domain.payload.secrets.named_values import edits_behind_names
from masterflow.domain.payload.secrets.names import MASK, secrecy
from masterflow.domain.payload.secrets.shapes import SHAPES
from masterflow.domain.payload.secrets.siblings import edits_beside_names
from masterflow.domain.payload.secrets.suspicion import FOREIGN_SUSPICION, IN_BASE64, IN_HEX, SUSPICION
from masterflow.domain.payload.secrets.tables import edits_in_statements, edits_in_tables

__all__ = ["MASK", "is_secret_key", "mask_text", "may_hold_secret"]

#: Tell at little cost that a text of ASCII holds no secret (with None).
may_hold_secret = SUSPICION.search

_MOST_LAYERS: Final = 3
_MOST_ROUNDS: Final = 8

# More than a hook keeps of a text, but for one in a flow's configuration.
_MOST_CHARS: Final = 8_000
_MARGIN_CHARS: Final = 300
_MOST_LOOKED_AT_CHARS: Final = 64_000

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX: Final = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,-]{0,2}){12,}+")
_ESCAPED: Final = re.compile(
    r"(?<!\\)\\++(?:u((?![dD][89a-fA-F])[0-9a-fA-F]{4})|x([2-7][0-9a-fA-F])|([\"'nrt]))"
)
_ENCODED: Final = re.compile(
    r"%[2-7][0-9a-fA-F]|&(?:#|quot|apos|amp|lt|gt|equals|colon)|\\(?:u[0-9a-fA-F]{4}|x[2-7]|[\"'nrt])"
)

#: In this order: what stands in brackets is told best while nothing is masked in it yet.
_READERS: Final = (
    edits_in_literals,
    edits_beside_names,
    edits_in_markup,
    edits_in_tables,
    edits_below_names,
    edits_in_statements,
    edits_in_commands,
    edits_in_dialogues,
    edits_in_directives,
    edits_in_qualified,
    edits_in_sentences,
    edits_in_code,
    edits_behind_names,
)


def mask_text(text: str) -> str:
    """Return the text with `[masked]` in place of each secret; masking the result again changes nothing.

    Of a text longer than any that a hook keeps, the end is masked whole: from where it may hold a secret,
    and what is beyond 64,000 characters in any case, so that no text takes long.
    """
    if len(text) <= _MOST_CHARS:
        return _mask(text)
    if len(text) > _MOST_LOOKED_AT_CHARS:
        return mask_text(text[:_MOST_LOOKED_AT_CHARS]).removesuffix(MASK) + MASK
    if not (found := _suspicion(text)):
        return text
    # What comes before belongs to what is found: the other names of a table, the beginning of an address.
    start = max(0, found.start() - _MARGIN_CHARS)
    begin, care = text[:start], text[start : start + _MOST_CHARS]
    end = start + len(care)
    if rest := _suspicion(text, max(start, end - _MARGIN_CHARS)):
        return begin + _mask(text[start : max(start, rest.start() - _MARGIN_CHARS)]) + MASK
    masked = _mask(care)
    goes_on = masked[-_MARGIN_CHARS:] != care[-_MARGIN_CHARS:]
    return begin + masked + (MASK if goes_on else text[end:])


def _mask(text: str) -> str:
    """Return the text with `[masked]` in place of each secret; masking the result again changes nothing.

    What is encoded (percent signs, entities, escapes of JSON in JSON) is decoded if a secret is in it.
    """
    if not _suspicion(text):
        return text
    masked = layer = _mask_layer(text)
    for _ in range(_MOST_LAYERS):
        if not _ENCODED.search(layer) or (decoded := _decoded(layer)) == layer:
            break
        layer = _mask_layer(decoded)
        if layer != decoded:
            masked = layer
    return masked


def is_secret_key(key: str) -> bool:
    """Tell whether a mapping's value under this key may be a secret."""
    return secrecy(key) is not None


def _mask_layer(text: str) -> str:
    for _ in range(_MOST_ROUNDS):
        if (masked := _mask_once(text)) == text:
            break
        text = masked
    return text


def _mask_once(text: str) -> str:
    return _read(text) if _suspicion(text) else text


def _read(text: str) -> str:
    for edits_in in _READERS:
        text = apply_edits(text, edits_in(text))
    for needle, pattern, replacement in SHAPES:
        if needle in text:
            text = pattern.sub(replacement, text)
    if IN_BASE64.search(text):
        text = _BASE64.sub(_mask_base64, text)
    return _HEX.sub(_mask_hex, text) if IN_HEX.search(text) else text


def _suspicion(text: str, start: int = 0) -> re.Match[str] | None:
    return (SUSPICION if text.isascii() else FOREIGN_SUSPICION).search(text, start)


def _mask_base64(found: re.Match[str]) -> str:
    """Mask base64 of a text that holds a secret."""
    word = found[0].rstrip("=")
    if not IN_BASE64.search(word):
        return found[0]
    try:
        text = base64.b64decode(
            word[: len(word) - (len(word) % 4 == 1)] + "==",
            altchars=b"-_" if "-" in word or "_" in word else None,
        )
    except (Base64Error, ValueError):
        return found[0]
    decoded = text.decode("latin-1")
    is_text = all(char.isprintable() or char in "\r\n\t" for char in decoded)
    return MASK if is_text and mask_text(decoded) != decoded else found[0]


def _mask_hex(found: re.Match[str]) -> str:
    """Mask hexadecimal digits of a text that holds a secret."""
    digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", found[0])
    decoded = bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1")
    is_text = all(char.isprintable() or char in "\r\n\t" for char in decoded)
    return MASK if is_text and mask_text(decoded) != decoded else found[0]


def _decoded(text: str) -> str:
    """Return the text without one layer of encoding."""
    if "%" in text:
        text = unquote(text, errors="replace")
    if "&" in text:
        text = html.unescape(text)
    return _ESCAPED.sub(_unescape, text)


def _unescape(found: re.Match[str]) -> str:
    if found[3]:
        return {"n": "\n", "r": "\r", "t": "\t"}.get(found[3], found[3])
    return chr(int(found[1] or found[2], 16))
