"""`flowctl security`: new keys, as the settings that hold them."""

import base64
import json
import shlex
from datetime import UTC, datetime

from masterflow.scripts.flowctl.options import AsJson, Client, command_group
from masterflow.scripts.flowctl.output import print_json
from masterflow.scripts.terminal.text import say

group = command_group("Make keys that sign batches and encrypt the cache.")


@group.command()
def keygen(client: Client, *, as_json: AsJson = False) -> None:
    """Make a signing key for a client account; print ENRICHMENT_SIGNING_KEYS with it as the newest.

    Keys that the environment holds are kept, so a key can be replaced without a gap: give the new setting
    to the workers first, then to the orchestrators, and drop the old key once nothing signed with it waits.
    """
    from masterflow.tasks.settings import QueueSettings

    known = {
        str(account): {key_id: secret.get_secret_value() for key_id, secret in keys.items()}
        for account, keys in QueueSettings().signing_keys.items()
    }
    _print_setting(
        "ENRICHMENT_SIGNING_KEYS",
        json.dumps(known | {str(client): _new_key() | known.get(str(client), {})}),
        as_json=as_json,
    )


@group.command("worker-key")
def worker_key(*, as_json: AsJson = False) -> None:
    """Make a key of the operators; print ENRICHMENT_WORKER_KEYS with it as the newest and the others kept.

    Workers, beat, API and whoever uses flowctl hold it, and no orchestrator.
    """
    from masterflow.domain.signing.settings import WorkerKeySettings

    known = WorkerKeySettings().worker_keys
    keys = _new_key() | {key_id: secret.get_secret_value() for key_id, secret in known.items()}
    _print_setting("ENRICHMENT_WORKER_KEYS", json.dumps(keys), as_json=as_json)


@group.command("cache-key")
def cache_key(*, as_json: AsJson = False) -> None:
    """Make a key for the cache; print ENRICHMENT_CACHE_KEYS with it as the newest and the others kept."""
    import secrets

    from masterflow.repository.settings import CACHE_KEY_BYTES, RedisSettings

    keys = (secrets.token_bytes(CACHE_KEY_BYTES), *RedisSettings().cache_keys)
    text = ",".join(base64.urlsafe_b64encode(key).decode() for key in keys)
    _print_setting("ENRICHMENT_CACHE_KEYS", text, as_json=as_json)


def _new_key() -> dict[str, str]:
    import secrets

    return {f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}": secrets.token_urlsafe(32)}


def _print_setting(name: str, value: str, *, as_json: bool) -> None:
    if as_json:
        print_json({name: value})
    else:
        say(f"{name}={shlex.quote(value)}")
