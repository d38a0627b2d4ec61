"""What our user of Redis has to be allowed, and what of it one is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Role:
    """What one user may have and do: patterns of keys and channels, commands, and further roles."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]
    channels: tuple[str, ...] = ()
    parts: tuple["Role", ...] = ()

    @property
    def rules(self) -> list[str]:
        """Return the rules after which a user may do this alone, for Redis 7 or newer.

        Each part is a selector of its own: its commands are for its keys and no others.
        """
        return [*self._own_rules, *map(_selector, self.parts)]

    @property
    def merged_rules(self) -> list[str]:
        """Return rules for Redis 6.2, after which every command of any part is for all of the keys."""
        roles = (self, *self.parts)
        keys, commands, channels = (
            tuple(sorted({it for role in roles for it in getattr(role, name)}))
            for name in ("keys", "commands", "channels")
        )
        return Role(keys, commands, channels).rules

    @property
    def _own_rules(self) -> list[str]:
        keys = [f"~{key}" for key in self.keys]
        channels = [f"&{channel}" for channel in self.channels]
        return ["resetkeys", *keys, "resetchannels", *channels, "-@all", *(f"+{it}" for it in self.commands)]


def _selector(role: Role) -> str:
    keys = " ".join(f"~{key}" for key in role.keys)
    return f"({keys} {' '.join(f'+{it}' for it in role.commands)})"


#: Who may do all that any part of us does.
OPERATOR: Final = Role((f"{KEY_PREFIX}*",), COMMANDS, (f"{KEY_PREFIX}*",))


def missing_rules(redis: "Redis", role: Role = OPERATOR, *, database: int = 0) -> list[str]:
    """Return the ACL rules that a client's user lacks for a role, such as `+info`; nothing is changed.

    Without `multi` nothing else can be tried. A `RedisError` that is about something else passes.
    """
    channel = role.channels[0].replace("*", f"/{database}.doctor", 1) if role.channels else ""
    with redis.client() as single:  # type: ignore[no-untyped-call]  # it has no annotations
        connection: Any = single.connection
        missing = _refused(connection, {name: _AT_ONCE[name] for name in _AT_ONCE if name in role.commands})
        if "+multi" not in missing:
            for part in (role, *role.parts):
                missing += _missing_of(connection, part, channel)
        # What was queued goes with the connection.
        connection.disconnect()
    if channel and "subscribe" in role.commands:
        missing += _refused_subscription(redis, channel)
    return list(dict.fromkeys(missing))


def _missing_of(connection: Any, role: Role, channel: str) -> list[str]:
    missing: list[str] = []
    for number, pattern in enumerate(role.keys):
        # Whether a command is allowed does not depend on the key; one of them asks for the others.
        calls = _calls(role, pattern.replace("*", "doctor"), only_one=number > 0)
        if channel and "publish" in role.commands:
            calls["publish"] = (channel, "")
        missing += _refused(connection, {"multi": (), **calls}, keys=f"~{pattern}")
    return missing


def _calls(role: Role, key: str, *, only_one: bool) -> dict[str, tuple[str | int, ...]]:
    queued = {name: _QUEUED[name] for name in role.commands if name in _QUEUED}
    if only_one:
        queued = dict([next((name, it) for name, it in queued.items() if _KEY in it)])
    return {name: tuple(key if it == _KEY else it for it in call) for name, call in queued.items()}


def rights_result(name: str, address: RedisAddress, missing: Sequence[str]) -> CheckResult:
    """Return what a user's missing ACL rules mean, and the command that gives them."""
    if not missing:
        return CheckResult(name)
    user = address.username or "default"
    commands = [rule.removeprefix("+") for rule in missing if rule.startswith("+")]
    refused = [
        *(["use our keys"] if any(rule.startswith("~") for rule in missing) else []),
        *(["use our channels"] if CHANNELS in missing else []),
        *([f"run {', '.join(commands)}"] if commands else []),
    ]
    found = f"The Redis user {user} may not {' or '.join(refused)}"
    advice = f"run `ACL SETUSER {user} {' '.join(missing)}` in Redis"
    if {*missing} <= _OF_THE_DOCTOR:
        return CheckResult(name, "note", f"{found}, so the doctor sees less", advice)
    return CheckResult(name, "problem", found, advice)


def redis_rights(settings: QueueSettings, role: Role) -> CheckResult:
    """Return whether the users of both addresses may do what this role does; a `RedisError` passes."""
    for address in dict.fromkeys([settings.redis, settings.broker.redis or settings.redis]):
        with client_of(address, settings) as redis:
            result = rights_result(
                "redis rights", address, missing_rules(redis, role, database=address.database)
            )
        if result.problem:
            return result
    return CheckResult("redis rights")


def _refused(connection: Any, calls: Mapping[str, tuple[str | int, ...]], *, keys: str = KEYS) -> list[str]:
    """Return the rules that these commands would need, all of them sent before the first answer is read."""
    words = [(*command.split("|"), *arguments) for command, arguments in calls.items()]
    connection.send_packed_command(connection.pack_commands(words))
    rules = []
    for command in calls:
        try:
            connection.read_response()
        except NoPermissionError as error:
            rules.append(_rule(command, error, keys=keys))
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


def _rule(command: str, error: NoPermissionError, *, keys: str = KEYS) -> str:
    if "to access" not in str(error):
        return f"+{command}"
    return CHANNELS if "channel" in str(error) else keys
