"""Secrets that follow their name in a text: `password=…`, `"apiKey": "…"`, `the password is …`."""

import base64
import re
from binascii import Error as Base64Error
from typing import Final, NamedTuple

from masterflow.domain.payload.secrets.literals import Edit, edits_of_all, read_literal
from masterflow.domain.payload.secrets.names import (
    Looks,
    is_anything,
    is_likely,
    is_no_number,
    is_typed_code,
    secrecy,
    spaced_secrecy,
)
from masterflow.domain.payload.secrets.places import MASK
from masterflow.domain.payload.secrets.suspicion import STEM

_NAME_WINDOW: Final = 64
_CLOSING: Final = "\"'\\]) \t`*"
_NAME_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- "
_FOREIGN_LETTERS: Final = (
    _NAME_LETTERS
    + "\xf1\xd1\u5bc6\u7801\u78bc\u30d1\u30b9\u30ef\u30fc\u30c9"
    + "".join(map(chr, range(0x410, 0x450)))
)

# What may be a secret's name, and what leads from it to its value: an equals sign or colon, the word "is",
# or nothing but a blank or an opening bracket.
_NAMED: Final = re.compile(
    rf"""(?x)(?:{STEM}|[sSnN][iI][dD](?=[\s"'\]]{{0,4}}[=:]))[\w.-]{{0,40}}+(?:
      (?:[\\"'\] \t`*]{{0,8}}+|\)(?==\())(?P<equals>(?:[=:](?:={{0,2}}+>?)|<-)(?:\*\*|`)?[ \t]*+)
    | ["'`]?[ \t]++(?P<told>(?:[iI][sS]|[wW]as|are|equals|has[ ]been
        |(?:set|changed|reset|updated)[ ]to|to|[=-]>|\u2192|ist|lautet|es|est)
        (?:[ \t]+(?:now|set[ ]to|changed[ ]to|reset[ ]to|still|currently|just))?[ \t]*:?[ \t]+)
    | (?P<listed>["'][ \t]*,[ \t]*(?=["']))
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
            | \{{\{{ | [a-z_][\w.]{{0,60}}\((?:["')]) | os\.environ
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
_TOLD_VALUE: Final = re.compile(
    r"""(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,500})(?P=quote)?|(?P<bare>[^\s"'<>,;`]{1,500})"""
)
_NEXT_VALUE: Final = re.compile(
    r"""(?P<quote>["'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,500})(?P=quote)|(?P<bare>[\w!@\#$%^&*+~?.-]{4,500})(?![=:(/\\])"""
)
_SENTENCE_END: Final = re.compile(r"[.!?;,)\"'\]}]*(?:$|\s*\n|[.!;)]\s)")

# A word behind "the password is" that says something about it.
_ABOUT_IT: Final = re.compile(
    r"""(?ix)(?:\w+(?:ed|ing|able|ible|ory|ent|ant|ive|ous|ful|less|ly|ical|ity)
      | un\w+ | in(?:valid|correct|secure)\w*
      | not | no | too | weak | strong | empty | wrong | missing | null | none | set | ok | okay | fine
      | bad | good | old
      | new | same | different | short | long | right | here | there | never | always | also | only
      | being | been | to | in
      | on | at | of | for | from | by | with | without | the | a | an | this | that | it | its | your
      | my | our | their
      | mandatory | optional | needed | unknown | public | private | secret | stale | dead | gone | out
      | off | known | safe
      | plain | text | plaintext | blank | absent | present | true | false | yes | what | how | where
      | when | why | one
      | well | up | down | over | done | late | due | case | either | both | sent | kept | read | lost
      | found | shown
      | hidden | given | taken | broken | stolen | chosen | written | hashed | part | and | or | but | if
      | as | so | than)"""
)
_ALGORITHM: Final = re.compile(
    r"(?i)base-?\d+|sha-?\d+|md5|utf-?\d+|o?auth-?\d|http/?\d|v\d+\w*|aes\S*|rsa\d*|ed25519|\d+[a-z]{0,3}"
)
_PASSWORDS: Final = re.compile(r"(?i)(?:pass(?:word|wd|phrase|code|wort)?|pwd|pw|kennwort|secret)s?$")
_PLACEHOLDER: Final = re.compile(r"\[[A-Z]{3,12}\]|\{\{")

# What is said of a password behind a colon: `password: field required`, `password: str`.
_STATE: Final = re.compile(
    r"(?i)(?:(?:required|missing|invalid|optional|expired|unset|empty|str|string|bytes|int|set|unknown|hidden"
    r"|enabled|disabled|wrong|incorrect|passed|failed)(?:[\s,;.)\]=]|$)|optional\["
    r"|(?:field|must|should|cannot|not|is) )"
)
_QUOTE: Final = re.compile(r"\\*[\"']")
_TYPED_NUMBER: Final = re.compile(r"\d{4,10}")
_VARIABLE: Final = re.compile(r"[A-Z]{2,}_[A-Z_]+$")
_IS_OPTION: Final = re.compile(r"-+\w")
_HAS_DIGIT: Final = re.compile(r"\d")
_LEAST_CHARS: Final = 4

# Letters and digits, but no name of a module or file.
_MIXED: Final = re.compile(r"(?=\D{0,63}\d)(?=[^A-Za-z]{0,63}[A-Za-z])(?![a-z_]+[._][\w.]+$)")
_CALLED: Final = re.compile(
    r"(?i)(?:^|[\s.>:])(?:set|with|use|new|identified_by|by)?_?(?:password|passwd|pwd|passphrase|secret|token|api_?key)$"
)


class _Named(NamedTuple):
    """A name, and where it leads to."""

    name: str
    looks: Looks
    found: re.Match[str]
    #: Whether it is the first word of its line.
    begins_line: bool
    #: Whether quotes or brackets close it.
    is_closed: bool


def edits_behind_names(text: str) -> list[Edit]:
    """Return what is to be masked because a secret's name stands before it, in order."""
    edits: list[Edit] = []
    done = 0
    for found in _NAMED.finditer(text):
        if found.start() < done or (named := _named(text, found, done)) is None:
            continue
        for edit in _READERS[found.lastgroup or ""](text, named):
            if text[edit.start : edit.end] != MASK:
                edits.append(edit)
                done = edit.end
    return edits


def _named(text: str, found: re.Match[str], done: int) -> _Named | None:
    """Return the words before what leads to a value, unless they are no secret's name."""
    end = found.start(found.lastgroup or 0)
    start = max(done, end - _NAME_WINDOW)
    closed = text[start:end]
    head = closed.rstrip(_CLOSING + "(")
    place = len(head.rstrip(_NAME_LETTERS if head.isascii() else _FOREIGN_LETTERS))
    name = head[place:]
    looks = looks_of(name) if name else None
    if looks is None:
        return None
    begins = (start + place == 0 or text[start + place - 1] == "\n") and " " not in name.strip(" -")
    return _Named(name.strip(), looks, found, begins, closed.rstrip(" \t") != head)


def looks_of(name: str) -> Looks | None:
    """Return what tells whether a text under these words is a secret: the last alone may be a whole name."""
    words = name.strip(" -.")
    if " " not in words:
        return secrecy(words)
    last = words.rsplit(" ", 1)[1]
    whole = spaced_secrecy(words)
    return whole or (secrecy(last) if re.search(r"[a-z][A-Z]|\w[_.-]\w|[A-Z]{4}", last) else None)


def _behind_equals(text: str, named: _Named) -> list[Edit]:
    end = named.found.end()
    name, looks = named.name.lower(), named.looks
    is_tight = named.found["equals"][0] in "=<" or named.is_closed
    if name.endswith("auth"):
        looks = is_likely if is_tight else is_login
    elif name == "pass" and _QUOTE.match(text, end):
        looks = is_no_number
    elif text[end : end + 1] in {"[", "{", "("} and not _PLACEHOLDER.match(text, end):
        return _behind_bracket(text, end, looks)
    if looks is is_anything and (line := _ALONE.match(text, end)):
        return [Edit(*line.span("value"))]
    pattern = _pattern_behind(name, is_tight=is_tight, begins_line=named.begins_line)
    value = (pattern if looks is is_anything else _ANY_VALUE).match(text, end)
    if value is None or (not is_tight and _STATE.match(text, value.start("value"))):
        return []
    form = value["value"] if looks is is_anything or value["quote"] else value["value"].rstrip("}])")
    return [Edit(value.end("kept"), value.end("kept") + len(form))] if looks(form) else []


def _pattern_behind(name: str, *, is_tight: bool, begins_line: bool) -> re.Pattern[str]:
    """Return what the value behind a name looks like."""
    if name.endswith(("cookie", "cookies")):
        return _COOKIE_VALUE
    if name.endswith("authorization"):
        return _HEADER_VALUE
    if is_tight:
        return _ANY_VALUE
    if name.endswith(("token", "jwt")):
        return _RANDOM_VALUE
    return _LINE_VALUE if begins_line else _ANY_VALUE


def _behind_bracket(text: str, start: int, looks: Looks) -> list[Edit]:
    """Return what is to be masked in a list or mapping of secrets."""
    literal = read_literal(text, start, 500)
    return [edit for edit in edits_of_all(literal.value, literal.place) if looks(text[edit.start : edit.end])]


def _behind_is(text: str, named: _Named) -> list[Edit]:
    value = _TOLD_VALUE.match(text, named.found.end())
    if value is None or named.name.lower().endswith("auth"):
        return []
    if value["quoted"]:
        is_one = named.looks(value["quoted"]) and not secrecy(value["quoted"])
        return [Edit(*value.span("quoted"))] if is_one else []
    word = value["bare"].rstrip(".!?)")
    start = value.start("bare")
    if not word or not named.looks(word):
        return []
    is_one = named.looks is not is_anything or (
        not _ALGORITHM.fullmatch(word)
        and (
            is_likely(word)
            or (len(word) >= _LEAST_CHARS and not word.isalpha() and _HAS_DIGIT.search(word) is not None)
        )
    )
    is_told = named.found["told"].strip() not in {"to", "es", "est"} and _PASSWORDS.search(named.name)
    if is_one or (is_told and _is_last_word(text, start, word)):
        return [Edit(start, start + len(word))]
    return []


def _is_last_word(text: str, start: int, word: str) -> bool:
    """Tell whether a word ends its sentence and says nothing about a password, so that it may be one."""
    return (
        word.isalpha()
        and len(word) >= _LEAST_CHARS
        and not _ABOUT_IT.fullmatch(word)
        and _SENTENCE_END.match(text, start + len(word)) is not None
    )


def _behind_blank(text: str, named: _Named) -> list[Edit]:
    value = _NEXT_VALUE.match(text, named.found.end())
    if value is None or (named.looks is not is_anything and not _TYPED_NUMBER.fullmatch(value["bare"] or "")):
        return []
    is_call = named.found["next"][0] == "("
    if value["quoted"]:
        is_one = _CALLED.search(named.name) if is_call else _is_quoted_one(named.name, value["quoted"])
        return [Edit(*value.span("quoted"))] if is_one else []
    word = value["bare"].rstrip(".!?")
    least = 6 if _PASSWORDS.search(named.name) else 8 if _VARIABLE.search(named.name) else 16
    is_one = len(word) >= least and is_likely(word) and _MIXED.match(word) and not _ALGORITHM.fullmatch(word)
    is_typed = named.looks is is_typed_code and _TYPED_NUMBER.fullmatch(word)
    if is_call or _IS_OPTION.match(named.name) or not (is_one or is_typed):
        return []
    return [Edit(value.start("bare"), value.start("bare") + len(word))]


def _is_quoted_one(name: str, quoted: str) -> bool:
    """Tell whether what stands in quotes behind a name is its value: `PASSWORD 'x'`, `password 'hunter2'`."""
    return name.endswith(("PASSWORD", ", password", "(password")) or (
        _PASSWORDS.search(name) is not None and not quoted.isalpha() and " " not in quoted
    )


def is_login(text: str) -> bool:
    """Tell whether a text is base64 of `user:password`."""
    word = text.rstrip("=")
    try:
        return b":" in base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
    except (Base64Error, ValueError):
        return False


def _behind_comma(text: str, named: _Named) -> list[Edit]:
    value = _TOLD_VALUE.match(text, named.found.end())
    quoted = value["quoted"] if value else None
    if value is None or not quoted or not named.looks(quoted) or not is_likely(quoted) or secrecy(quoted):
        return []
    return [Edit(*value.span("quoted"))] if _HAS_DIGIT.search(quoted) or not quoted.isalnum() else []


_READERS: Final = {
    "listed": _behind_comma,
    "equals": _behind_equals,
    "told": _behind_is,
    "next": _behind_blank,
}
