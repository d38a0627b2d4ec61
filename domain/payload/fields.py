"""The types of an event's fields: how much of each a row takes, and what is cut or masked."""

from datetime import UTC
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from masterflow.domain.payload.safe import safe_map, safe_object, safe_text

# An entry is at most 4 KB in the row; these leave room for its id, time, phase and status.
METADATA_BYTES = 3_300
ENTRY_BYTES = 3_900
ERROR_CHARS = 1_500
ERROR_BYTES = 1_600
DETAILS_BYTES = 1_900

MOST_MILLISECONDS: Final = 1e12

_PHASE_CHARS = 100
_STATUS_CHARS = 40
_NAME_CHARS = 255
_CONFIGURATION_BYTES = 60_000

# The names of an agent and a model stand beside their figures, and in the bookkeeping.
_USAGE_NAME_CHARS = 80
_USAGE_NAME_BYTES = 160
_NO_NAME = "unknown"

#: Parts agent and model in the bookkeeping, so it stands in neither name.
USAGE_SEPARATOR: Final = "\x1f"

# More of a word is not looked at.
_WORD_WINDOW_CHARS = 1_000

# Not of JsonValue: what `domain.payload` returns is JSON, and pydantic would check each value of it.
JsonObject = dict[str, Any]

Metadata = Annotated[JsonObject, BeforeValidator(lambda value: safe_object(value, max_bytes=METADATA_BYTES))]
Details = Annotated[JsonObject, BeforeValidator(lambda value: safe_object(value, max_bytes=DETAILS_BYTES))]
Entry = Annotated[JsonObject, BeforeValidator(lambda value: safe_object(value, max_bytes=ENTRY_BYTES))]
Updates = Annotated[JsonObject, BeforeValidator(safe_map)]
ErrorText = Annotated[
    str, BeforeValidator(lambda value: safe_text(value, max_chars=ERROR_CHARS, max_bytes=ERROR_BYTES))
]


@lru_cache(maxsize=1_000)
def _cut_word(word: str, max_chars: int) -> str:
    return safe_text(word.strip(), max_chars=max_chars)


def _word(max_chars: int) -> BeforeValidator:
    """Cut a word that is too long, which is no reason to lose the event."""

    def cut(value: object) -> object:
        # Few words come again and again; a cached one costs 0.2 microseconds instead of 4.
        return _cut_word(value[:_WORD_WINDOW_CHARS], max_chars) if isinstance(value, str) else value

    return BeforeValidator(cut)


@lru_cache(maxsize=1_000)
def _cut_usage_name(name: str) -> str:
    cut = safe_text(name.strip(), max_chars=_USAGE_NAME_CHARS, max_bytes=_USAGE_NAME_BYTES)
    return cut.replace(USAGE_SEPARATOR, " ") or _NO_NAME


def _usage_name(value: object) -> object:
    return _cut_usage_name(value[:_WORD_WINDOW_CHARS]) if isinstance(value, str) else value


Phase = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=_PHASE_CHARS),
    _word(_PHASE_CHARS),
]
PhaseStatus = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=_STATUS_CHARS),
    _word(_STATUS_CHARS),
]
Configuration = Annotated[
    JsonObject, BeforeValidator(lambda value: safe_object(value, max_bytes=_CONFIGURATION_BYTES))
]
Name = Annotated[str, BeforeValidator(lambda value: safe_text(value, max_chars=_NAME_CHARS))]
UsageName = Annotated[str, BeforeValidator(_usage_name)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False, le=MOST_MILLISECONDS)]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
