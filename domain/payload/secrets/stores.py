"""Secrets among the words of a command that puts something into a store, whichever program that is.

`az keyvault secret set --value …`, `doppler secrets set NAME …`, `heroku config:set NAME=…`.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from masterflow.domain.payload.secrets.names import MASK, secrecy, words_of
from masterflow.domain.payload.secrets.said import is_description

_VERB: Final = (
    "(?:set|put|create|add|update|edit|write|store|new|import|insert|upsert"
    "|encrypt|rotate|modify|deploy|push|save)"
)
_STORED: Final = "(?:secrets?|credentials?)"
#: Stands where something is put into a store: `secret set`, `put-secret-value`, `config:set`.
STORING: Final = re.compile(
    rf"""(?x)(?<![\w.])(?:
      (?P<secret>[\w-]{{0,20}}(?:{_STORED}|-parameter|passwords?)(?:\ kv|\ versions|\ value)?[: -]{_VERB}
        | {_VERB}[: ]{_STORED}
        | {_VERB}-(?:[a-z]{{1,12}}-){{0,2}}(?:{_STORED}|password)(?:-[a-z]{{1,12}}){{0,2}}
        | encrypt[_-]string | item\ (?:create|edit) | secret-tool\ store | kv\ (?:put|patch))
    | {_VERB}-parameters?
    | (?:[a-z]{{1,20}}:)?(?:config|env|vars?|variables?|settings?|parameters?)[: ](?:--)?{_VERB}
    )(?![\w.])"""
)
# Options behind which the value stands, those behind which a name and a value do, and those that say that it
# is a secret.
_CARRYING: Final = words_of(
    """--value --val --secret-binary --secret-data --plaintext --plain-text --data --body -b --string
    --content --contents --payload --text --secret-text"""
)
_ASSIGNING: Final = words_of(
    "--from-literal --set --literal --env --env-var -e --settings --variables --vars --set-env"
)
_SAYING: Final = words_of("--secret --masked --sensitive --encrypted --secure --mask --protected --is-secret")
_SECURE_TYPE: Final = re.compile(r"(?i)secure-?string")
_ASSIGNED: Final = re.compile(
    r"(?P<option>--?[a-z][a-z-]{0,20}=)?(?P<name>[A-Za-z_][\w.\[\]/-]{0,80})=(?P<value>.+)", re.DOTALL
)
_OPTION: Final = re.compile(r"(?P<name>--?[A-Za-z][\w-]{0,40})(?:=(?P<value>.+))?", re.DOTALL)
_NAME: Final = re.compile(r"[A-Z][A-Z\d]*(?:_[A-Z\d]+)*|\w[\w-]{0,80}[._:/-][\w./:-]{1,80}")
# What is no value: what is read from elsewhere, and what is masked.
_ELSEWHERE: Final = re.compile(
    r"[-<>|&@$%{(;].*|\.{0,2}/.*|~.*|(?:file|fileb|https?|op)://.*|\S+\.(?:json|ya?ml|txt|pem|env|key|crt)|\[masked.*|",
    re.DOTALL,
)
_ENDS: Final = words_of("| || & && ; > >> < <<< 2>&1")


class _Put(NamedTuple):
    """What a command puts into a store: its words behind those that say so, and what these say."""

    words: list[tuple[int, str]]
    mark: re.Match[str]
    of_secrets: bool


def hidden_in_store(texts: dict[int, str]) -> Iterator[tuple[int, str]]:
    """Yield what is to be masked among the words of a command that puts something into a store."""
    put = _put(texts)
    if put is None:
        return
    values = _values_of(put)
    for place, text in put.words:
        if assigned := _ASSIGNED.fullmatch(text):
            name, value = assigned["name"], assigned["value"]
            is_put = not assigned["option"] or assigned["option"][:-1] in _ASSIGNING
            is_one = put.of_secrets or ":" in put.mark[0] or secrecy(name) is not None
            if is_put and is_one and not _ELSEWHERE.fullmatch(value):
                yield place, text[: assigned.start("value")] + MASK
                continue
        option = _OPTION.fullmatch(text)
        if option and option["value"] and _carries(option["name"]) and put.of_secrets:
            yield place, text[: option.start("value")] + MASK
        elif place in values:
            yield place, MASK


def _carries(option: str) -> bool:
    """Tell whether behind an option stands what is put, as behind `--value` and `--secret-string`."""
    return option in _CARRYING or option.endswith(("-payload", "-plaintext", "-string", "-content", "-value"))


def _put(texts: dict[int, str]) -> _Put | None:
    words = [(place, text[:_MOST_CHARS]) for place, text in texts.items()][:_MOST_WORDS]
    line = " ".join(text for _, text in words)
    mark = STORING.search(line)
    if mark is None:
        return None
    behind = words[len(line[: mark.end()].split()) :]
    end = next((number for number, (_, text) in enumerate(behind) if text in _ENDS), len(behind))
    behind = behind[:end]
    of_secrets = mark["secret"] is not None or any(
        text in _SAYING or _SECURE_TYPE.fullmatch(text) or _names_secret(text) for _, text in behind
    )
    return _Put(behind, mark, of_secrets)


_MOST_CHARS: Final = 600
_MOST_WORDS: Final = 100


def _names_secret(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and secrecy(text.rsplit("/", 1)[-1]) is not None


def _values_of(put: _Put) -> set[int]:
    """Return the places of words that are a value: behind an option for one, or behind a name."""
    if not put.of_secrets:
        return set()
    values, bare = set[int](), list[tuple[int, str]]()
    option = ""
    for place, text in put.words:
        if _OPTION.fullmatch(text):
            option = "" if "=" in text or text in _SAYING else text
            continue
        if _carries(option) and not _ELSEWHERE.fullmatch(text):
            values.add(place)
        elif not option and not _ASSIGNED.fullmatch(text):
            bare.append((place, text))
        option = ""
    return values | _behind_name(put, bare)


def _behind_name(put: _Put, bare: list[tuple[int, str]]) -> set[int]:
    """Return the place of the second of two words, if the first is a name."""
    if len(bare) < _NAME_AND_VALUE:
        return set()
    (_, name), (place, value) = bare[:_NAME_AND_VALUE]
    # In a sentence more words follow.
    is_named = (
        _NAME.fullmatch(name) is not None
        and len(name) > 1
        and (len(bare) == _NAME_AND_VALUE or (len(bare) == _NAME_AND_VALUE + 1 and secrecy(name) is not None))
    )
    if not is_named and _SAYING.isdisjoint(text for _, text in put.words):
        return set()
    return set() if _ELSEWHERE.fullmatch(value) or is_description(value) else {place}


_NAME_AND_VALUE: Final = 2
