"""Codes that stand for a token once, so that a link can sign somebody in without holding the token."""

import math
import secrets
import time
from typing import Final

from masterflow.status.settings import StatusSettings

_LIFETIME_S: Final = 600.0


class SignInCodes:
    """Each code works once, within ten minutes, in the process that made it, unless it is made to last."""

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[str, float]] = {}

    @classmethod
    def of(cls, settings: StatusSettings) -> "SignInCodes":
        """Return the codes of a process that starts: the one of its settings, if there is one."""
        codes = cls()
        if settings.signin_code and settings.signin_token:
            code, token = settings.signin_code.get_secret_value(), settings.signin_token.get_secret_value()
            codes.add(token, code, lasts=settings.signin_reusable)
        return codes

    def add(self, token: str, code: str | None = None, *, lasts: bool = False) -> str:
        """Let a code stand for a token, and return it; by default a new one.

        One that lasts works again and again until the process ends.
        """
        code = code or secrets.token_urlsafe(24)
        self._tokens[code] = (token, math.inf if lasts else time.monotonic() + _LIFETIME_S)
        return code

    def take(self, code: str) -> str | None:
        """Return the token that a code stands for; unless it lasts, the first time only."""
        token, ends_at = self._tokens.pop(code, ("", 0.0))
        if ends_at == math.inf:
            self._tokens[code] = (token, ends_at)
        return token if time.monotonic() < ends_at else None
