"""The types of what is asked of a human and answered: an answer that is too long is refused, never cut."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from masterflow.domain.errors import InputInvalid
from masterflow.domain.payload.fields import JsonObject
from masterflow.domain.payload.fitting import fit
from masterflow.domain.payload.plain import plain
from masterflow.domain.payload.safe import safe_text
from masterflow.domain.payload.sizes import text_bytes

#: Of an answer's JSON.
MAX_ANSWER_BYTES: Final = 2_000
MAX_OPTIONS: Final = 20
MAX_OPTION_CHARS: Final = 100

#: Of all options of a question together: 20 of 100 plain characters.
MAX_OPTIONS_BYTES: Final = 2_100

_MAX_SCHEMA_BYTES: Final = 1_500
_MAX_DEFAULT_BYTES: Final = 300
_MAX_QUESTION_CHARS: Final = 1_000
_MAX_QUESTION_BYTES: Final = 1_202
_MAX_REASON_CHARS: Final = 500
_MAX_REASON_BYTES: Final = 702
_MAX_SHORT_CHARS: Final = 120
_MAX_SHORT_BYTES: Final = 122

# What is larger is too large to be looked at.
_WINDOW_BYTES: Final = 8_000


def safe_answer(value: object) -> Any:
    """Return an answer as the row takes it: plain JSON, its secrets masked, nothing of it cut.

    Raises:
        InputInvalid: it takes more than 2,000 bytes.
    """
    form, size = fit(value, _WINDOW_BYTES)
    if size > MAX_ANSWER_BYTES:
        raise InputInvalid(f"An answer takes at most {MAX_ANSWER_BYTES:,} bytes of JSON; shorten it.")
    return form


def _safe_options(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise InputInvalid("The options of a question are a list of texts.")
    options = tuple(safe_text(value, max_chars=MAX_OPTION_CHARS) for value in values)
    if len(options) > MAX_OPTIONS or sum(map(text_bytes, options)) > MAX_OPTIONS_BYTES:
        raise InputInvalid(
            f"A question has at most {MAX_OPTIONS} options of {MAX_OPTION_CHARS} characters, "
            f"and {MAX_OPTIONS_BYTES:,} bytes in all."
        )
    return options


def _safe_schema(value: object) -> JsonObject | None:
    """Return a JSON schema, or nothing of one that is too large or that masking would change."""
    if value is None:
        return None
    form, size = fit(value, _WINDOW_BYTES)
    is_whole = size <= _MAX_SCHEMA_BYTES and isinstance(form, dict) and form == plain(value)
    return form if is_whole and isinstance(form, dict) else None


def _text(max_chars: int, max_bytes: int) -> BeforeValidator:
    return BeforeValidator(lambda value: safe_text(value, max_chars=max_chars, max_bytes=max_bytes))


Answer = Annotated[Any, BeforeValidator(safe_answer)]
Default = Annotated[Any, BeforeValidator(lambda value: fit(value, _MAX_DEFAULT_BYTES)[0])]
Options = Annotated[tuple[str, ...], BeforeValidator(_safe_options)]
AnswerSchema = Annotated[JsonObject | None, BeforeValidator(_safe_schema)]
QuestionText = Annotated[str, _text(_MAX_QUESTION_CHARS, _MAX_QUESTION_BYTES), Field(min_length=1)]
Reason = Annotated[str, _text(_MAX_REASON_CHARS, _MAX_REASON_BYTES)]

#: The name of a person, a question, a process or a host.
ShortName = Annotated[str, _text(_MAX_SHORT_CHARS, _MAX_SHORT_BYTES), Field(min_length=1)]
