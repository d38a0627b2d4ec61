"""What our user of Redis has to be allowed, and what of it one is not."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from masterflow.domain.addresses import RedisAddress
from masterflow.domain.redis_keys import KEY_PREFIX
from masterflow.tasks.check_result import CheckResult
from masterflow.tasks.enqueue import client_of
from masterflow.tasks.settings import QueueSettings

#: The rules of an ACL that let a user have our keys and our channels.
KEYS: Final = f"~{KEY_PREFIX}*"
CHANNELS: Final = f"&{KEY_PREFIX}*"

_KEY: Final = f"{KEY_PREFIX}doctor"
_ANSWER_TIMEOUT_S: Final = 0.5

# What else any part of us sends, kombu and Flower included, each with arguments that would pass. Redis
# looks at a user's rights when it queues a command for a transaction, so none of them is carried out.
_QUEUED: Final[Mapping[str, tuple[str | int, ...]]] = {
    "brpop": (_KEY, 1),
    "del": (_KEY,),
    "evalsha": ("0" * 40, 1, _KEY),
    "exists": (_KEY,),
    "expire": (_KEY, 1),
    "get": (_KEY,),
    "getrange": (_KEY, 0, 1),
    "hdel": (_KEY, "field"),
    "hget": (_KEY, "field"),
    "hgetall": (_KEY,),
    "hincrby": (_KEY, "field", 1),
    "hincrbyfloat": (_KEY, "field", 1),
    "hlen": (_KEY,),
    "hmget": (_KEY, "field"),
    "hset": (_KEY, "field", 1),
    "hsetnx": (_KEY, "field", 1),
    "hstrlen": (_KEY, "field"),
    "info": (),
    "llen": (_KEY,),
    "lpush": (_KEY, 1),
    "lrange": (_KEY, 0, 1),
    "lrem": (_KEY, 1, 1),
    "ltrim": (_KEY, 0, 1),
    "mget": (_KEY,),
    "pexpire": (_KEY, 1),
    "ping": (),
    "rpop": (_KEY,),
    "rpush": (_KEY, 1),
    "sadd": (_KEY, 1),
    "scan": (0,),
    "script|exists": ("0" * 40,),
    "script|load": ("return 1",),
    "select": (0,),
    "set": (_KEY, 1),
    "smembers": (_KEY,),
    "srem": (_KEY, 1),
    "time": (),
    "unlink": (_KEY,),
    "xadd": (_KEY, "*", "field", 1),
    "xread": ("COUNT", 1, "STREAMS", _KEY, 0),
    "zadd": (_KEY, 1, "member"),
    "zcard": (_KEY,),
    "zcount": (_KEY, 0, 1),
    "zrange": (_KEY, 0, 1),
    "zrangebyscore": (_KEY, 0, 1),
    "zrem": (_KEY, "member"),
    "zremrangebyscore": (_KEY, 0, 1),
    "zrevrange": (_KEY, 0, 1),
}
_AT_ONCE: Final[Mapping[str, tuple[str | int, ...]]] = {
    "multi": (),
    "exec": (),
    "watch": (_KEY,),
    "unwatch": (),
}
_PUBSUB: Final = ("publish", "subscribe", "unsubscribe")

#: Every command that some part of us sends.
COMMANDS: Final = tuple(sorted({*_QUEUED, *_AT_ONCE, *_PUBSUB}))

# Only the doctor sends these.
_OF_THE_DOCTOR: Final = frozenset({"+info", "+scan"})


def missing_rules(redis: "Redis", *, database: int = 0) -> list[str]:
    """Return the ACL rules that a client's user lacks, such as `+info`; nothing is changed in trying.

    Without `multi` nothing else can be tried. A `RedisError` that is about something else passes.
    """
    with redis.client() as single:  # type: ignore[no-untyped-call]  # it has no annotations
        connection: Any = single.connection
        missing = _refused(connection, _AT_ONCE)
        if "+multi" not in missing:
            publish = {"publish": (_channel(database), "")}
            missing += _refused(connection, {"multi": (), **_QUEUED, **publish})
        # What was queued goes with the connection.
        connection.disconnect()
    missing += _refused_subscription(redis, _channel(database))
    return list(dict.fromkeys(missing))


def rights_result(name: str, address: RedisAddress, missing: Sequence[str]) -> CheckResult:
    """Return what a user's missing ACL rules mean, and the command that gives them."""
    if not missing:
        return CheckResult(name)
    user = address.username or "default"
    commands = [rule.removeprefix("+") for rule in missing if rule.startswith("+")]
    refused = [
        *(["use our keys"] if KEYS in missing else []),
        *(["use our channels"] if CHANNELS in missing else []),
        *([f"run {', '.join(commands)}"] if commands else []),
    ]
    found = f"The Redis user {user} may not {' or '.join(refused)}"
    advice = f"run `ACL SETUSER {user} {' '.join(missing)}` in Redis"
    if set(missing) <= _OF_THE_DOCTOR:
        return CheckResult(name, "note", f"{found}, so the doctor sees less", advice)
    return CheckResult(name, "problem", found, advice)


def redis_rights(settings: QueueSettings) -> CheckResult:
    """Return whether the users of both addresses may do all that we do; a `RedisError` passes."""
    for address in dict.fromkeys([settings.redis, settings.broker.redis or settings.redis]):
        with client_of(address, settings) as redis:
            result = rights_result("redis rights", address, missing_rules(redis, database=address.database))
        if result.problem:
            return result
    return CheckResult("redis rights")


def _channel(database: int) -> str:
    """Return kombu's channel to all workers."""
    return f"{KEY_PREFIX}/{database}.celery.pidbox"


def _refused(connection: Any, calls: Mapping[str, tuple[str | int, ...]]) -> list[str]:
    """Return the rules that these commands would need, all of them sent before the first answer is read."""
    words = [(*command.split("|"), *arguments) for command, arguments in calls.items()]
    connection.send_packed_command(connection.pack_commands(words))
    rules = []
    for command in calls:
        try:
            connection.read_response()
        except NoPermissionError as error:
            rules.append(_rule(command, error))
        except ResponseError:
            # Another complaint, about a transaction that lacks what was refused: the right is there.
            continue
    return rules


def _refused_subscription(redis: "Redis", channel: str) -> list[str]:
    with redis.pubsub() as pubsub:  # type: ignore[no-untyped-call]  # it has no annotations
        for command in ("subscribe", "unsubscribe"):
            getattr(pubsub, command)(channel)
            try:
                pubsub.get_message(timeout=_ANSWER_TIMEOUT_S)
            except NoPermissionError as error:
                return [_rule(command, error)]
    return []


def _rule(command: str, error: NoPermissionError) -> str:
    if "to access" not in str(error):
        return f"+{command}"
    return CHANNELS if "channel" in str(error) else KEYS
