"""Hide secrets: in free text by their shape or the name before them, in mappings by the name of their key."""

import re

from masterflow.domain.payload.secret_shapes import MASK, SHAPES, SUSPICION

__all__ = ["MASK", "is_secret_key", "mask_text", "may_hold_secret"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# A name in snake case whose value is a secret: its last words tell. Every token is one, except those that are
# counted, priced, or part of a model's text.
_SECRET_NAME = re.compile(
    r"""(?x)
    (?: pass_?(?:word|wd|phrase)(?:_hash)? | pwd | secret | credential | authorization | cookie | jwt
      | (?:api|access|account|auth|encryption|master|private|secret|session|shared|signing|ssh)_?key
      | subscription_?key
      | sess(?:ion)?id | connect_sid
      | (?:^|_)auth
      | (?<!per_)(?<!next_)(?<!page_)(?<!continuation_)(?<!first_)(?<!last_)(?<!input_)(?<!output_)
        (?<!prompt_)(?<!completion_)(?<!bos_)(?<!eos_)(?<!pad_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)(?<!stop_)
        (?<!special_)(?<!sync_)(?<!total_)(?<!max_)(?<!min_)token(?!s)
    )s?(?:_?[0-9]{1,3})?$"""
)

# What separates a name from its value, and what may stand between the two.
_EQUALS = re.compile(r"[=:](?:={0,2}+>?)[ \t]*+")
_NAME_WINDOW = 48
_CLOSING = "\"'\\] \t"
_NAME_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- "


def _value(bare: str) -> re.Pattern[str]:
    """Return the pattern of a value: quoted in any way (also the escaped quotes of JSON in JSON), or bare."""
    # Its repeated groups end it, so nothing backtracks. Possessive ones run past what a lookahead refuses,
    # in Python before 3.11.5, which Debian 12 has.
    return re.compile(
        rf"""(?isx)(?P<kept>(?:[bru]{{0,2}}(?P<quote>\\*["']))?)
        (?!(?:none|null|nil|true|false|undefined)(?:[\s,;&)}}\]"'\\]|$) | [{{\[(](?:["'\s{{\[(]|$))
        (?(quote)(?:(?!(?P=quote))(?:\\.|[^\\\r\n]))+|{bare})"""
    )


_BARE = r"""(?:[^\s"'&;,<>\\]|\\(?!["'nrt\\]))+"""
_SCHEME = r"(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)"
_ANY_VALUE = _value(_BARE)
_LINE_VALUE = _value(r"""(?:[|>][+-]?[ \t]*\r?\n[ \t]+[^\r\n]++|[^\s"'\[][^\r\n]*+|[^\s"']++)""")
_RANDOM_VALUE = _value(
    rf"""(?=[^\s"'&;,<>\d]{{0,63}}+\d)(?=[^\s"'&;,<>a-z]{{0,63}}+[a-z])(?=[^\s"'&;,<>]{{8}}){_BARE}"""
)
_HEADER_VALUE = _value(rf"(?:{_SCHEME}[ \t]++)?{_BARE}")
_COOKIE_VALUE = _value(r"""[^\s"'=;,]{1,128}+=[^\r\n"']*+""")


#: Tell at little cost that a text holds no secret (with None).
may_hold_secret = SUSPICION.search


def mask_text(text: str) -> str:
    """Return the text with `[masked]` in place of each secret; masking the result again changes nothing."""
    if not may_hold_secret(text):
        return text
    while (masked := _mask_once(text)) != text:
        text = masked
    return text


def is_secret_key(key: str) -> bool:
    """Tell whether a mapping's value under this key is to be masked whole, whatever it looks like."""
    return _SECRET_NAME.search("_".join(_WORD.findall(key)).lower()) is not None


def _mask_once(text: str) -> str:
    for needle, pattern, replacement in SHAPES:
        if needle in text:
            text = pattern.sub(replacement, text)
    return _mask_pairs(text)


def _mask_pairs(text: str) -> str:
    """Mask the values of `password=...`, `"apiKey": "..."`, `Authorization: Bearer ...` and their like."""
    pieces: list[str] = []
    done = 0
    for equals in _EQUALS.finditer(text):
        if equals.start() < done or not (pattern := _value_after(text, equals)):
            continue
        if value := pattern.match(text, equals.end()):
            pieces += text[done : value.end("kept")], MASK
            done = value.end()
    return "".join(pieces) + text[done:] if pieces else text


def _value_after(text: str, equals: re.Match[str]) -> re.Pattern[str] | None:
    """Return what the secret after this separator looks like; None if the name before it is no secret's."""
    start = max(0, equals.start() - _NAME_WINDOW)
    closed = text[start : equals.start()]
    head = closed.rstrip(_CLOSING)
    place = len(head.rstrip(_NAME_LETTERS))
    name = head[place:].lower()
    if not is_secret_key(head[place:]) or name.endswith("auth"):
        return None
    if name.endswith("cookie"):
        return _COOKIE_VALUE
    if name.endswith("authorization"):
        return _HEADER_VALUE
    if equals[0][0] == "=" or closed != head:
        return _ANY_VALUE
    if name.endswith(("token", "jwt")):
        return _RANDOM_VALUE
    begins_line = " " not in name.strip(" -") and text[start + place - 1 : start + place] in ("", "\n")
    return _LINE_VALUE if begins_line else _ANY_VALUE
