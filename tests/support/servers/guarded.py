"""A Redis that knows a user for each role, keys for each account, and what each process is given of them."""

import json
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit
from uuid import UUID

from masterflow.scripts.maintenance.broker_users import redis_users, settings_of

ORCHESTRATOR = "orchestrator"
_CREW = "crew"


class RoleUsers:
    """Users with rights that Redis 6.2 and newer know, and what proves who a process is."""

    def __init__(self) -> None:
        self._users = {user.name: user for user in redis_users([_CREW], is_before_7=True)}

    def acl_lines(self) -> list[str]:
        """Return what makes a server know them."""
        return [user.acl_line() for user in self._users.values()]

    def settings(self, url: str) -> dict[str, dict[str, str]]:
        """Return, by role, how its processes reach the server with this address of its admin."""
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port}"
        found = {
            name: settings_of(user, self._users.values(), host=host) for name, user in self._users.items()
        }
        return {ORCHESTRATOR if name == _CREW else name: it for name, it in found.items()}


def new_keys(accounts: Iterable[UUID]) -> dict[str, str]:
    """Return settings with a key for each account, and one that only workers and their like may have."""
    signing = {str(account): {"own": secrets.token_urlsafe(32)} for account in accounts}
    return {
        "ENRICHMENT_SIGNING_KEYS": json.dumps(signing),
        "ENRICHMENT_WORKER_KEYS": json.dumps({"workers": secrets.token_urlsafe(32)}),
    }
