"""Codes that stand for a token once, so that a link can sign somebody in without holding the token."""

import secrets
import time
from typing import Final

from masterflow.status.settings import StatusSettings

_LIFETIME_S: Final = 600.0


class SignInCodes:
    """Each code works once, within ten minutes, in the process that made it."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[str, float]] = {}

    @classmethod
    def of(cls, settings: StatusSettings) -> "SignInCodes":
        """Return the codes of a process that starts: the one of its settings, if there is one."""
        codes = cls()
        if settings.signin_code and settings.signin_token:
            codes.add(settings.signin_token.get_secret_value(), settings.signin_code.get_secret_value())
        return codes

    def add(self, token: str, code: str | None = None) -> str:
        """Let a code stand for a token, and return it; by default a new one."""
        code = code or secrets.token_urlsafe(24)
        self._tokens[code] = (token, time.monotonic() + _LIFETIME_S)
        return code

    def take(self, code: str) -> str | None:
        """Return the token that a code stands for, the first time only."""
        token, ends_at = self._tokens.pop(code, ("", 0.0))
        return token if time.monotonic() < ends_at else None
