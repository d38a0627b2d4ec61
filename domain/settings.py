"""How every layer reads its settings from the environment."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from masterflow.domain.errors import SettingsInvalid


class SettingRefused(ValueError):
    """A setting is not as it must be; the message says why, in half a sentence that quotes no secret."""


class Settings(BaseSettings):
    """Settings that say in one sentence what to set; each field has an alias and a description."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    def __init__(self, **values: Any) -> None:
        """Read the environment; `values` win over it.

        Raises:
            SettingsInvalid: a setting is missing or malformed; the message says what to set.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            reasons = {str(item["loc"][0]): _reason(item) for item in error.errors(include_input=False)}
            raise SettingsInvalid(self._advice(reasons)) from None

    @classmethod
    def _advice(cls, reasons: Mapping[str, str]) -> str:
        wanted = [
            f"{field.validation_alias} to {field.description}{reason}"
            for name, field in cls.model_fields.items()
            if (reason := reasons.get(name, reasons.get(str(field.validation_alias)))) is not None
        ]
        return f"Set {', and '.join(wanted)}."


def _reason(item: ErrorDetails) -> str:
    refused = item.get("ctx", {}).get("error")
    return f" ({refused})" if isinstance(refused, SettingRefused) else ""
