"""How every layer reads its settings from the environment."""

from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from masterflow.domain.errors import SettingsInvalid


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
            names = {str(item["loc"][0]) for item in error.errors(include_input=False)}
            raise SettingsInvalid(self._advice(names)) from None

    @classmethod
    def _advice(cls, names: set[str]) -> str:
        wanted = [
            f"{field.validation_alias} to {field.description}"
            for name, field in cls.model_fields.items()
            if name in names or field.validation_alias in names
        ]
        return f"Set {', and '.join(wanted)}."
