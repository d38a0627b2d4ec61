"""Secrets that follow their name in a text: `password=…`, `"apiKey": "…"`, `the password is …`."""

import base64
import re
import unicodedata
from binascii import Error as Base64Error
from typing import Final

from masterflow.domain.payload.secrets.languages.code import is_put, is_put_by_call, is_type
from masterflow.domain.payload.secrets.languages.named import PASSWORDS, Named, words_before
from masterflow.domain.payload.secrets.languages.sentences import TOLD, edits_told, is_algorithm
from masterflow.domain.payload.secrets.literals import Edit, edits_of_all, read_literal
from masterflow.domain.payload.secrets.names import (
    MASK,
    is_anything,
    is_likely,
    is_no_number,
    is_same_name,
    is_typed_code,
    looks_of,
    names_tokens,
    secrecy,
    words_of,
)
from masterflow.domain.payload.secrets.places import is_long_token
from masterflow.domain.payload.secrets.said import is_description, is_said_of, is_state
from masterflow.domain.payload.secrets.suspicion import STEM

_NAME_WINDOW: Final = 64
_CLOSING: Final = "\"'\\]) \t`*"
_NAME_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- "
# What may be a secret's name, and what leads from it to its value: an equals sign or colon, the word "is",
# or nothing but a blank or an opening bracket.
_NAMED: Final = re.compile(
    rf"""(?x)(?:{STEM}|[sSnN][iI][dD](?=[\s"'\]]{{0,4}}[=:]))[\w.-]{{0,40}}+(?:
      (?:[\\"'\] \t`*]{{0,40}}+|\)(?==\())(?P<equals>(?:[=:\uff1a](?:={{0,2}}+>?|:(?=[ \t]))|<-)
        (?:\*\*|`)?[ \t]*+(?:\s*string\(\d{{1,6}}\)\s)?)
    | ["'`]?[ \t]++(?P<told>{TOLD}
        (?:[ \t]+(?:now|set[ ]to|changed[ ]to|reset[ ]to|still|currently|just))?[ \t]*:?[ \t]+)
    | (?P<listed>["'](?:[ \t]*,[ \t]*(?=["'])|;s:\d{{1,6}}:(?=")))
    | (?P<next>["'`]?[ \t]++|\|[ \t]*|\([ \t]*(?=["']))
    )"""
)


def _value(bare: str) -> re.Pattern[str]:
    """Return the pattern of a value: quoted in any way (also the escaped quotes of JSON in JSON), or bare."""
    # Its repeated groups end it, so nothing backtracks. Possessive ones run past what a lookahead refuses,
    # in Python before 3.11.5, which Debian 12 has.
    return re.compile(
        rf"""(?isx)(?P<kept>(?:[brun]{{0,2}}(?P<quote>\\*["'`]))?)
        (?!(?:none|null|nil|true|false|undefined)(?:[\s,;&)}}\]"'\\]|$)
            | (?:\$\{{?[A-Z_]+\}}?|x{{3,}}
              |\[[A-Z]{{3,12}}\]|<[\w\ -]{{1,40}}>|\.{{3}}|…)(?:[\s,;&)}}\]"'\\]|$)
            | \{{\{{ | (?:convertto|get|read|new|import)-[a-z]{{4,30}}(?:\s|$)
            | [a-z_][\w.]{{0,60}}\((?:["')]) | os\.environ
            | (?:%s|\?|\$\d+|%\(\w+\)s|:[a-z_]{{2,40}}|\$\{{\w+\}}|\*+)(?:[\s,;&)}}\]"'\\]|$)
            | [{{\[(](?:["'\s{{\[(]|$))
        (?P<value>(?(quote)(?:(?!(?P=quote))(?:\\.|[^\\\r\n]))+|{bare}))"""
    )


_BARE = r"""(?:[^\s"'&;,<>\\]|\\(?!["'nrt\\]))+"""
_SCHEME = r"(?:bearer|basic|token|apikey)"
_LONG_SCHEME = r"(?:digest|negotiate|aws4-hmac-sha256|oauth|hawk|ntlm)"
_ANY_VALUE = _value(_BARE)
_LINE_VALUE = _value(r"""(?:[|>][+-]?[ \t]*\r?\n[ \t]+[^\r\n]++|[^\s"'\[][^\r\n]*+|[^\s"']++)""")
_RANDOM_VALUE = _value(
    rf"""(?=[^\s"'&;,<>\d]{{0,63}}+\d)(?=[^\s"'&;,<>a-z]{{0,63}}+[a-z])(?=[^\s"'&;,<>]{{8}}){_BARE}"""
)
_HEADER_VALUE = _value(rf"""(?:{_LONG_SCHEME}[ \t]+[^\r\n']+|(?:{_SCHEME}[ \t]++)?{_BARE})""")
_COOKIE_VALUE = _value(r"""[^\s"'=;,]{1,128}+=[^\r\n"']*+""")
# A word alone on the line below its name.
_ALONE: Final = re.compile(
    r"""\r?\n(?:[ \t]*-)?[ \t]+["']?(?P<value>[^\s:"'\-|>\[{][^\s:"']*)["']{0,2}[ \t]*(?:\r?\n|$)"""
)
_LISTED_VALUE: Final = re.compile(
    r"""(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,500})(?P=quote)?"""
)
_NEXT_VALUE: Final = re.compile(
    r"""(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,500})(?P=quote)|(?P<bare>[\w!@\#$%^&*+~?.-]{4,500})(?![=:(/\\])"""
)

_PLACEHOLDER: Final = re.compile(r"\[[A-Z]{3,12}\]|\{\{")

_QUOTE: Final = re.compile(r"\\*[\"']")
_TYPED_NUMBER: Final = re.compile(r"\d{4,10}")
_VARIABLE: Final = re.compile(r"[A-Z]{2,}_[A-Z_]+$")
# `storePassword "…"`, `keystore.password "…"`: a name of several words without blanks is one of a program.
_IDENTIFIER: Final = re.compile(r"(?:[\w.]* )?[a-z]\w*(?:(?<=[a-z])[A-Z]|[._][a-z])\w*|[A-Z]+(?:_[A-Z]+)+")
_IS_OPTION: Final = re.compile(r"-+\w")
_HAS_DIGIT: Final = re.compile(r"\d")
_MOST_TOKENS: Final = 500
_MOST_TOKENS_IN_ALL: Final = 4_000

# Letters and digits, but no name of a module or file.
_MIXED: Final = re.compile(r"(?=\D{0,63}\d)(?=[^A-Za-z]{0,63}[A-Za-z])(?![a-z_]+[._][\w.]+$)")
_CALLED: Final = re.compile(
    r"(?i)(?:^|[\s.>:])(?:set|with|use|new|identified_by|by)?_?(?:password|passwd|pwd|passphrase|secret|token|api_?key)$"
)


# A value of several lines in three quotes; one of several words that is alone on its line.
_TRIPLE: Final = re.compile(r"""(?P<quote>\"{3}|'{3})(?P<value>(?:(?!(?P=quote))[\s\S]){1,4000})""")
_SEVERAL: Final = re.compile(
    r"(?P<value>(?!\[)[^\s()\[\]{}=.,;:\"'<>$]+(?: [^\s()\[\]{}=.,;:\"'<>$]+)+)[ \t]*\r?(?:\n|$)"
)
# What puts a value under a name before it: `setx API_TOKEN x`, `ENV DB_PASSWORD x`, `(setq password "x")`.
_SETTING: Final = words_of(
    """setx setenv SetEnv ENV ARG export set SET setq defvar define let put store proxy_set_header add_header
    fastcgi_param uwsgi_param scgi_param fastcgi_pass_header"""
)
# What makes a quoted text behind a name its value: `use the passphrase "…"`.
_USING: Final = words_of("use with using enter type try by and")
_HEADER: Final = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)+")


def edits_behind_names(text: str) -> list[Edit]:
    """Return what is to be masked because a secret's name stands before it, in order."""
    edits: list[Edit] = []
    tokens_read: list[int] = []
    done = 0
    for found in _NAMED.finditer(text):
        if found.start() < done or (named := _named(text, found, done, tokens_read)) is None:
            continue
        for edit in _READERS[found.lastgroup or ""](text, named):
            for one in (edit, *_changed(text, edit.end, named)):
                if text[one.start : one.end] != MASK:
                    edits.append(one)
                    done = one.end
    return edits


# What a value was changed into: `password = "…" -> "…"`.
_CHANGED: Final = re.compile(
    r"""\\{0,2}["'`]?\]?,?[ \t]*(?:[-=~]>|\u2192|\u21d2)[ \t]*\[?"""
    r"""(?:\\{0,2}(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\\\r\n]){1,500})"""
    r"""|(?P<bare>[^\s"'`,;()\[\]{}]{3,500}))"""
)


def _changed(text: str, end: int, named: Named) -> list[Edit]:
    """Return the value that comes in place of the one that ends here."""
    new = _CHANGED.match(text, end)
    if new is None:
        return []
    value = new["quoted"] or new["bare"]
    is_one = named.looks(value) and not is_description(value) and not secrecy(value)
    return [Edit(*new.span("quoted" if new["quoted"] else "bare"))] if is_one else []


def _named(text: str, found: re.Match[str], done: int, tokens_read: list[int]) -> Named | None:
    """Return the words before what leads to a value, unless they are no secret's name."""
    end = found.start(found.lastgroup or 0)
    start = max(done, end - _NAME_WINDOW)
    closed = text[start:end]
    head = closed.rstrip(_CLOSING + "(")
    place = len(head.rstrip(_NAME_LETTERS)) if head.isascii() else _foreign_place(head)
    name = head[place:]
    if head[place - 1 : place] in _APOSTROPHES and head[:place].endswith(_BEFORE_ACCESS):
        name = f"{'code' if 'code' in head[:place][-8:] else 'cle'} d {name}"
    looks = looks_of(name) if name else None
    if (
        looks is None
        and found["equals"]
        and text[found.end() : found.end() + 1] == "["
        and names_tokens(name)
    ):
        looks = is_long_token
    if looks is None:
        return None
    begin = start + place + len(name) - len(name.lstrip())
    begins = (start + place == 0 or text[start + place - 1] == "\n") and " " not in name.strip(" -")
    return Named(name.strip(), looks, found, begin, tokens_read, begins, closed.rstrip(" \t") != head)


#: Before "accès", which is no name of a secret alone.
_APOSTROPHES: Final = ("'", "\u2019")
_BEFORE_ACCESS: Final = ("code d'", "code d\u2019", "cl\xe9 d'", "cle d'")


def _foreign_place(head: str) -> int:
    """Return where the name at the end of a text begins."""
    return next((place + 1 for place in range(len(head) - 1, -1, -1) if not _is_name_letter(head[place])), 0)


def _is_name_letter(char: str) -> bool:
    return char.isalnum() or char in "_.- " or unicodedata.combining(char) > 0


def _behind_equals(text: str, named: Named) -> list[Edit]:
    end = named.found.end()
    name, looks = named.name.lower(), named.looks
    is_tight = named.found["equals"][0] in "=<" or named.is_closed
    if name.endswith("auth"):
        looks = is_likely if is_tight else is_login
    elif name == "pass" and _QUOTE.match(text, end):
        looks = is_no_number
    elif text[end : end + 1] in {"[", "{", "("} and not _PLACEHOLDER.match(text, end):
        # `if not token: (x)` is code.
        is_code = text[end] == "(" and not is_tight
        return [] if is_code else _behind_bracket(text, end, named)
    if looks is is_anything and (line := _ALONE.match(text, end)):
        return [Edit(*line.span("value"))]
    pattern = _pattern_behind(name, is_tight=is_tight, begins_line=named.begins_line)
    found = _value_at(text, end, named, pattern if looks is is_anything else _ANY_VALUE, is_tight=is_tight)
    if found is None:
        return []
    kept_end, form, is_quoted = found
    form = form if looks is is_anything or is_quoted else form.rstrip("}])")
    return [Edit(kept_end, kept_end + len(form))] if looks(form.strip()) else []


def _value_at(
    text: str, end: int, named: Named, pattern: re.Pattern[str], *, is_tight: bool
) -> tuple[int, str, bool] | None:
    """Return where a value begins, the value, and whether it stands in quotes; None if it is no secret."""
    if block := _TRIPLE.match(text, end):
        return block.start("value"), block["value"], True
    if is_tight and named.begins_line and named.looks is is_anything and (line := _SEVERAL.match(text, end)):
        return line.start("value"), line["value"], True
    value = pattern.match(text, end)
    if value is None or (not is_tight and is_state(text, value.start("value"))):
        return None
    if value["quote"] and _is_closing(text, value.end("quote"), named):
        return None
    if not value["quote"] and (
        is_same_name(named.name, value["value"])
        or (not is_tight and is_type(value["value"].rstrip(), text, value.end()))
    ):
        return None
    return value.end("kept"), value["value"], bool(value["quote"])


def _is_closing(text: str, end: int, named: Named) -> bool:
    """Tell whether a quote behind a name closes the text that the name begins: `input('Password: ')`."""
    before = text[named.start - 1 : named.start]
    return not named.is_closed and before == text[end - 1] and not text[end : end + 1].isalnum()


def _pattern_behind(name: str, *, is_tight: bool, begins_line: bool) -> re.Pattern[str]:
    """Return what the value behind a name looks like."""
    if name.endswith(("cookie", "cookies")):
        return _COOKIE_VALUE
    if name.endswith("authorization"):
        return _HEADER_VALUE
    if is_tight:
        return _ANY_VALUE
    if name.endswith(("token", "jwt")):
        return _ANY_VALUE if _HEADER.fullmatch(name) else _RANDOM_VALUE
    return _LINE_VALUE if begins_line else _ANY_VALUE


def _behind_bracket(text: str, start: int, named: Named) -> list[Edit]:
    """Return what is to be masked in a list or mapping of secrets; if much was read before, all the rest."""
    if sum(named.tokens_read) > _MOST_TOKENS_IN_ALL:
        return [Edit(start, len(text))]
    literal = read_literal(text, start, _MOST_TOKENS)
    named.tokens_read.append(literal.token_count)
    found = list(edits_of_all(literal.value, literal.place))
    is_one = [named.looks(text[edit.start : edit.end]) for edit in found]
    if named.looks is is_long_token and not all(is_one):
        return []
    return [edit for edit, is_secret in zip(found, is_one, strict=True) if is_secret]


def _behind_blank(text: str, named: Named) -> list[Edit]:
    value = _NEXT_VALUE.match(text, named.found.end())
    if value is None or (named.looks is not is_anything and not _TYPED_NUMBER.fullmatch(value["bare"] or "")):
        return []
    is_call = named.found["next"][0] == "("
    before = words_before(text, named)
    if named.looks in (is_anything, is_no_number) and _is_set(before):
        group = "quoted" if value["quoted"] else "bare"
        return [] if is_said_of(value[group]) or secrecy(value[group]) else [Edit(*value.span(group))]
    if value["quoted"]:
        is_one = (
            _CALLED.search(named.name)
            if is_call
            else _is_quoted_one(named.name, value["quoted"])
            or (
                PASSWORDS.search(named.name)
                and (not _USING.isdisjoint(before[-3:]) or _is_item(text, named, value.end()))
                and not is_description(value["quoted"])
            )
        )
        return [Edit(*value.span("quoted"))] if is_one else []
    word = value["bare"].rstrip(".!?")
    least = 6 if PASSWORDS.search(named.name) else 8 if _VARIABLE.search(named.name) else 16
    is_one = len(word) >= least and is_likely(word) and _MIXED.match(word) and not is_algorithm(word)
    is_typed = named.looks is is_typed_code and _TYPED_NUMBER.fullmatch(word)
    if is_call or _IS_OPTION.match(named.name) or not (is_one or is_typed):
        return []
    return [Edit(value.start("bare"), value.start("bare") + len(word))]


def _is_set(before: list[str]) -> bool:
    """Tell whether the words before a name put what follows under it, as `setx` and `config set` do."""
    *words, glued = before
    if glued and not glued.endswith((":", "/")):
        return False
    if glued == ":":
        return True
    while len(words) > 1 and words[-1].startswith("-"):
        words.pop()
    return bool(words) and words[-1].lstrip("(") in _SETTING


def _is_item(text: str, named: Named, end: int) -> bool:
    """Tell whether a name and a quoted text are an item of a list: `(user 'bob', password 'x')`."""
    before = (
        text[max(0, named.start - 40) : named.start].rstrip(" \t\n").removesuffix("SET").removesuffix("ADD")
    )
    return before.rstrip()[-1:] in _ITEM_BEGINS and _ITEM_ENDS.match(text, end) is not None


_ITEM_BEGINS: Final = ("(", ",", "{", ";")
_ITEM_ENDS: Final = re.compile(r"\s*[,;)}]")


def _is_quoted_one(name: str, quoted: str) -> bool:
    """Tell whether what stands in quotes behind a name is its value: `PASSWORD 'x'`, `password 'hunter2'`."""
    is_identifier = _IDENTIFIER.fullmatch(name) is not None and not is_description(quoted)
    return (
        is_identifier
        or name.endswith(("PASSWORD", "SECRET", ", password", "(password"))
        or (PASSWORDS.search(name) is not None and not quoted.isalpha() and " " not in quoted)
    )


def is_login(text: str) -> bool:
    """Tell whether a text is base64 of `user:password`."""
    word = text.rstrip("=")
    try:
        return b":" in base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
    except (Base64Error, ValueError):
        return False


def _behind_comma(text: str, named: Named) -> list[Edit]:
    value = _LISTED_VALUE.match(text, named.found.end())
    if value is None:
        return []
    quoted = value["quoted"]
    if "s:" in named.found["listed"] and named.looks(quoted):
        return [Edit(*value.span("quoted"))]
    if is_put_by_call(text, named.start):
        return [Edit(*value.span("quoted"))] if is_put(named.name, quoted) else []
    if not named.looks(quoted) or not is_likely(quoted) or secrecy(quoted):
        return []
    return [Edit(*value.span("quoted"))] if _HAS_DIGIT.search(quoted) or not quoted.isalnum() else []


_READERS: Final = {
    "listed": _behind_comma,
    "equals": _behind_equals,
    "told": edits_told,
    "next": _behind_blank,
}
