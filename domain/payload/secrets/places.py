"""Secrets that are known by their place: beside their name, behind an option, or in a column of that name.

`{"name": "DB_PASSWORD", "value": …}`, `["mysql", "--password", …]`, `[("password", …), …]`,
`{"columns": ["user", "password"], "rows": [[…, …]]}`, `{"sql": "… password = %s", "params": [...]}`.
Only one level is looked at, and for tables the one below: whoever walks through a value calls this at each.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from masterflow.domain.payload.secrets.names import is_anything, is_likely, secrecy, words_of

#: What stands in place of a secret.
MASK: Final = "[masked]"

# Keys, in small letters, under which a name stands, and under which its value does.
_NAMED: Final = words_of(
    """name key field variable var env header param parameter label id k n property attribute option setting
    column argument arg flag type envname varname fieldname secretname keyname title path prop entry attr"""
)
_VALUED: Final = words_of(
    """value values val v content contents data default text input string current new old newvalue oldvalue
    defaultvalue rawvalue plaintext before after actual expected got was to from answer body payload"""
)

# Beside these, `pass` is a password and no result.
_BESIDE_PASS: Final = words_of("user username login host email User Username")

# What holds the values of a statement with places for them.
_BOUND: Final = words_of(
    "params parameters args arguments bindings binds bind values vars variables parameter_values"
)
_STATEMENT_PLACE: Final = re.compile(r"%s|\?|\$\d|:\w|%\(|@\w")

# A mapping of two or three keys that holds a name is taken for a pair, unless the others are about it.
_MOST_IN_A_PAIR: Final = 3
_ABOUT_NAMES: Final = words_of(
    """type kind required description desc help title label id path format unit phase status state count order
    position index created updated message msg error code reason size length min max null nullable optional
    enabled host user username email role scope owner source ref version url name key step agent tool note"""
)

_MOST_ROWS: Final = 20_000
_MOST_NAME_CHARS: Final = 80
_OPTION: Final = re.compile(r"(?:--?|/)[A-Za-z][\w-]{0,60}:?")
_IDENTIFIER: Final = re.compile(r"[\w.-]{2,80}(?: [\w.-]{1,40}){0,2}")
_PLAIN_WORDS: Final = re.compile(r"[a-z]+(?:[ _.-][a-z]+)*")

# Commands that take a password behind an option of one letter, and that letter. With a colon, what
# stands before one is a user's name; with a plus, the value may stand in the same word.
_SHORT_OPTIONS: Final = {
    "mysql": "-p+",
    "mysqldump": "-p+",
    "mysqladmin": "-p+",
    "mysqlimport": "-p+",
    "mariadb": "-p+",
    "mariadb-dump": "-p+",
    "sshpass": "-p+",
    "docker": "login -p+",
    "podman": "login -p+",
    "helm": "login -p+",
    "mongo": "-p+",
    "mongosh": "-p+",
    "mongodump": "-p+",
    "mongorestore": "-p+",
    "psexec": "-p+",
    "redis-cli": "-a",
    "ldapsearch": "-w",
    "ldapadd": "-w",
    "ldapmodify": "-w",
    "ldapdelete": "-w",
    "ldappasswd": "-w -s",
    "ldapwhoami": "-w",
    "sqlcmd": "-P+",
    "bcp": "-P+",
    "isql": "-P+",
    "zip": "-P+",
    "unzip": "-P+",
    "7z": "-p+",
    "curl": "-u: --user: -U: --proxy-user:",
    "wget": "",
    "smbclient": "-U%",
    "plink": "-pw",
    "pscp": "-pw",
    "putty": "-pw",
    "keytool": "-storepass -keypass",
    "cqlsh": "-p+",
    "clickhouse-client": "",
    "ipmitool": "-P",
    "snmpwalk": "-c -A -X",
    "snmpget": "-c -A -X",
    "openssl": "-k -K -passin -passout",
    "lftp": "-u,",
    "rabbitmqadmin": "-p+",
    "htpasswd": "",
    "oc": "login -p+",
    "az": "login -p",
    "psftp": "-pw",
    "xfreerdp": "",
    "vncviewer": "",
    "impala-shell": "",
    "beeline": "-p",
    "mc": "",
}
_AFTER_USER: Final = re.compile(r"[:%,]")


def hidden_in_map(source: Mapping[Any, Any]) -> dict[Any, Any] | None:
    """Return a mapping with its secrets masked that stand beside their name, or None if there are none."""
    changes: dict[Any, Any] = {}
    lists = 0
    for key, value in source.items():
        kind = type(value)
        if kind is str:
            if (
                type(key) is str
                and len(value) <= _MOST_NAME_CHARS
                and key.lower() in _NAMED
                and secrecy(value)
            ):
                changes.update(_beside(source, key, value))
        elif kind in _CONTAINERS:
            lists += 1
    name = source.get("pass")
    if type(name) is str and name and not _BESIDE_PASS.isdisjoint(source):
        changes["pass"] = MASK
    if lists:
        changes.update(_hidden_columns(source))
        changes.update(_hidden_parameters(source))
    return {**source, **changes} if changes else None


def hidden_in_list(source: Sequence[Any]) -> list[Any] | None:
    """Return a list's items with their secrets masked, or None if there are none."""
    texts = {place: item for place, item in enumerate(source) if type(item) is str and item}
    if texts and (hidden := _hidden_items(texts)):
        return [hidden.get(place, item) for place, item in enumerate(source)]
    if source and type(source[0]) in (list, tuple) and len(source) >= 2:
        return _hidden_rows(source)
    if type(source) is tuple and _is_pair(source) and _is_told(*source):
        return [source[0], MASK]
    if len(source) == 1 and _is_pair(source[0]) and _is_told(*source[0]):
        return [[source[0][0], MASK]]
    return None


def hidden_after_name(name: str, value: str) -> bool:
    """Tell whether a text that follows a secret's name among other texts is one: it is no mere word."""
    looks = secrecy(name) if _IDENTIFIER.fullmatch(name) else None
    return looks is not None and looks(value) and not _PLAIN_WORDS.fullmatch(value) and not secrecy(value)


def short_options(command: str) -> tuple[str, ...]:
    """Return the options of a command, called by any path, behind which it takes a password."""
    base = re.split(r"[/\\]", command)[-1].lower().removesuffix(".exe")
    return tuple(_SHORT_OPTIONS.get(base, "").split())


def option_names_secret(word: str) -> bool:
    """Tell whether a word such as `--db-password` or `/password` is an option that takes a secret."""
    return _OPTION.fullmatch(word) is not None and (
        secrecy(word) is is_anything or word.lstrip("-/") == "pass"
    )


def _beside(source: Mapping[Any, Any], named: str, name: str) -> Iterator[tuple[Any, str]]:
    """Yield what is to be masked in a mapping that holds this name."""
    looks = secrecy(name)
    if looks is None:
        return
    for key, value in source.items():
        if key == named or type(key) is not str or value is None or type(value) is bool or value == "":
            continue
        is_valued = (
            key.lower() in _VALUED
            or key.lower().endswith(("value", "val", "_data", "content"))
            or (len(source) <= _MOST_IN_A_PAIR and key.lower() not in _ABOUT_NAMES)
        )
        if is_valued and (type(value) not in (str, int, float) or looks(str(value))):
            yield key, MASK


def _hidden_columns(source: Mapping[Any, Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Yield lists of rows, or one row, with masks in the columns whose names another list holds."""
    for header_key, header in source.items():
        places = _secret_columns(header)
        if not places:
            continue
        for key, value in source.items():
            if key == header_key or type(value) not in (list, tuple):
                continue
            if value and all(type(row) in (list, tuple) and len(row) == len(header) for row in value[:20]):
                yield key, _masked_rows(value, places)
            elif len(value) == len(header) and type(key) is str and key.lower() in _VALUED | _BOUND | {"row"}:
                yield key, _masked_row(value, places)


def _hidden_parameters(source: Mapping[Any, Any]) -> Iterator[tuple[Any, str]]:
    """Yield the values of a statement that has places for a secret's."""
    if any(type(value) is str and names_secret_place(value[:20_000]) for value in source.values()):
        for key, value in source.items():
            is_named = type(value) is dict and any(type(name) is str and secrecy(name) for name in value)
            is_bound = type(key) is str and key.lower() in _BOUND and type(value) in (list, tuple, dict)
            if is_bound and value and not is_named:
                yield key, MASK


_CONTAINERS: Final = (list, tuple, dict)
_FORMATTED: Final = re.compile(r"([A-Za-z][\w-]{1,40})[\"']?[ \t]*[:= ][ \t]*[\"']?(?:%[sr]|\{\w{0,20}\})")
_NAME_IN_STATEMENT: Final = re.compile(
    r"(?<![\w'])\w{0,30}(?i:pass|pwd|pw\b|secret|token|_?key\b|otp|pin\b)\w{0,30}"
)


def names_secret_place(statement: str) -> bool:
    """Tell whether a statement, or a text to be formatted, has places for values of secrets."""
    if any(secrecy(found[1]) for found in _FORMATTED.finditer(statement)):
        return True
    if not re.match(
        r"(?i)\s*(?:insert|update|select|delete|alter|create|call|exec|merge|replace|with|set)\b", statement
    ):
        return False
    return _STATEMENT_PLACE.search(statement) is not None and any(
        secrecy(found[0]) for found in _NAME_IN_STATEMENT.finditer(statement)
    )


def _secret_columns(header: object) -> list[int]:
    if type(header) not in (list, tuple) or not 2 <= len(header) <= 500:  # type: ignore[arg-type]
        return []
    items: Sequence[Any] = [_column_name(item) for item in header]  # type: ignore[attr-defined]
    if not all(type(item) is str and len(item) <= _MOST_NAME_CHARS for item in items):
        return []
    return [place for place, item in enumerate(items) if secrecy(item)]


def _column_name(item: object) -> object:
    """Return the name in a column's description; what describes none is left as it is."""
    if type(item) is dict:
        return next((item[key] for key in ("name", "key", "field", "id") if key in item), item)
    return item


def _masked_rows(rows: Sequence[Any], places: Iterable[int]) -> list[Any]:
    return [
        _masked_row(row, places) if type(row) in (list, tuple) else row for row in rows[:_MOST_ROWS]
    ] + list(rows[_MOST_ROWS:])


def _masked_row(row: Sequence[Any], places: Iterable[int]) -> list[Any]:
    masked = list(row)
    for place in places:
        if place < len(masked) and masked[place] is not None and type(masked[place]) is not bool:
            masked[place] = MASK
    return masked


def _is_pair(item: object) -> bool:
    return type(item) in (list, tuple) and len(item) == 2 and type(item[0]) in (str, bytes)  # type: ignore[arg-type, index]


def _hidden_rows(source: Sequence[Any]) -> list[Any] | None:
    """Return pairs with the values of secrets masked, or rows with those of their columns."""
    first = source[0]
    if places := _secret_columns(first):
        same = [type(row) in (list, tuple) and len(row) == len(first) for row in source[1:20]]
        is_pairs = len(first) == 2 and places == [0]
        if all(same) and not is_pairs:
            return [first, *_masked_rows(source[1:], places)]
    if all(_is_pair(item) for item in source[:20]):
        masked = [
            [item[0], MASK] if _is_pair(item) and _is_told(item[0], item[1]) else item
            for item in source[:_MOST_ROWS]
        ]
        if any(one is not other for one, other in zip(masked, source, strict=False)):
            return masked + list(source[_MOST_ROWS:])
    return None


def _is_told(name: str | bytes, value: object) -> bool:
    if isinstance(name, bytes):
        name = name[:_MOST_NAME_CHARS].decode("ascii", "replace")
    looks = secrecy(name) if len(name) <= _MOST_NAME_CHARS else None
    return (
        looks is not None
        and value is not None
        and type(value) is not bool
        and (type(value) not in (str, int, float) or looks(str(value)))
    )


def _hidden_items(texts: dict[int, str]) -> dict[int, str]:
    """Return the items of a list of words to mask: behind an option, or behind a secret's name."""
    hidden: dict[int, str] = {}
    options = _options_of(texts)
    for place, item in texts.items():
        if place in hidden:
            continue
        following = texts.get(place + 1)
        if options and item.startswith("-"):
            hidden.update(_behind_short(place, item, following, options))
        if following and place + 1 not in hidden and _leads_to(item, following):
            hidden[place + 1] = MASK
    return hidden


def _options_of(texts: dict[int, str]) -> tuple[str, ...]:
    """Return the options of the command that these words are, behind which a password stands."""
    first = [text for place, text in islice(texts.items(), 4) if place < 4]
    while first and first[0] in {"sudo", "env", "exec", "time", "nohup"}:
        first.pop(0)
    options = short_options(first[0]) if first else ()
    return () if "login" in options and "login" not in texts.values() else options


def _leads_to(item: str, following: str) -> bool:
    """Tell whether a word is followed by a secret."""
    if len(item) > _MOST_NAME_CHARS:
        return False
    if option_names_secret(item):
        return not following.startswith("--")
    if item.lower().startswith("/user:"):
        return following[:1] not in "/*"
    return hidden_after_name(item, following) and is_likely(following)


def _behind_short(
    place: int, item: str, following: str | None, options: Iterable[str]
) -> Iterator[tuple[int, str]]:
    for option in options:
        name, kind = option.rstrip(":%,+"), option[-1]
        if kind in ":%,":
            yield from _behind_user(place, item, following, name)
        elif item == name and following is not None:
            yield place + 1, MASK
        elif kind == "+" and len(name) == 2 and item.startswith(name) and len(item) > 2:
            yield place, name + MASK


def _behind_user(place: int, item: str, following: str | None, name: str) -> Iterator[tuple[int, str]]:
    """Yield `user:password` behind an option, or in the same word, without the password."""
    if item == name and following and (parted := _AFTER_USER.search(following)):
        yield place + 1, following[: parted.end()] + MASK
    elif len(name) == len("-u") and item.startswith(name) and (parted := _AFTER_USER.search(item)):
        yield place, item[: parted.end()] + MASK
