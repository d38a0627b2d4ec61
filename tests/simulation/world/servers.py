"""The broker and Redis as senders and workers see them: late, gone, emptied, never sure to have answered."""

import fnmatch
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import redis
from pydantic_core import from_json

from masterflow.tasks.broker import BrokerUnavailable
from masterflow.tasks.publishing.messages import Message
from tests.simulation.world.scheduler import Activity, Scheduler


class Network:
    """The way to one server."""

    def __init__(self, scheduler: Scheduler, chance: Random) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self.is_down = False
        #: How often an answer is lost on its way back.
        self.deafness = 0.0
        self.slowness_s = 0.002

    def call(self, work: Callable[[], Any]) -> Any:
        """Do something there: it may not be reached, and what was done may not be heard of.

        Raises:
            ConnectionError: nothing was done.
            TimeoutError: it was done, or not.
        """
        self._travel()
        if self.is_down:
            raise redis.ConnectionError("the server is down")
        found = work()
        self._travel()
        if self._chance.random() < self.deafness:
            raise redis.TimeoutError("no answer came")
        return found

    def _travel(self) -> None:
        if self._scheduler.current is not None:
            self._scheduler.pause(self._chance.random() * self.slowness_s)


class Broker:
    """A queue that may lose, repeat, reorder and delay."""

    def __init__(self, scheduler: Scheduler, chance: Random) -> None:
        self.network = Network(scheduler, chance)
        self._scheduler = scheduler
        self._chance = chance
        self.loss = self.repetition = self.disorder = self.delay_s = 0.0
        self.waiting: list[dict[str, Any]] = []
        self.sent: list[str] = []
        #: Who waits for a message.
        self.idle: list[Activity] = []

    def transport(self) -> "_Transport":
        return _Transport(self)

    def take_in(self, message: Message) -> None:
        """Accept a message, or pretend to."""
        body = message.body if "compression" not in message.headers else zlib.decompress(message.body)
        kwargs = from_json(body)[1]
        self.sent.append(kwargs["batch_id"])
        for _ in range(1 + (self._chance.random() < self.repetition)):
            if self._chance.random() >= self.loss:
                delay_s = self.delay_s * self._chance.random()
                self._scheduler.at(self._scheduler.now + delay_s, lambda: self.put(kwargs))

    def put(self, kwargs: dict[str, Any], *, first: bool = False) -> None:
        """Let a message wait, as one that a worker gives back."""
        place = 0 if first else len(self.waiting)
        if self._chance.random() < self.disorder:
            place = self._chance.randrange(len(self.waiting) + 1)
        self.waiting.insert(place, kwargs)
        if self.idle:
            self._scheduler.wake(self.idle.pop(self._chance.randrange(len(self.idle))))

    def empty(self) -> None:
        self.waiting.clear()

    def wait(self, timeout_s: float) -> None:
        """Wait for a message to come."""
        if (activity := self._scheduler.current) is not None:
            self.idle.append(activity)
        self._scheduler.pause(timeout_s)
        if activity in self.idle:
            self.idle.remove(activity)

    def get(self) -> dict[str, Any] | None:
        """Hand out the next message."""
        return self.waiting.pop(0) if self.waiting and not self.network.is_down else None


class _Transport:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def send(self, message: Message) -> None:
        try:
            self._broker.network.call(lambda: self._broker.take_in(message))
        except redis.RedisError as error:
            raise BrokerUnavailable("The broker took no message.") from error

    def close(self) -> None:
        """Have nothing to close."""


class RedisServer:
    """The commands that senders and workers use, on a dictionary; keys expire by the world's clock."""

    def __init__(self, scheduler: Scheduler, chance: Random) -> None:
        self.network = Network(scheduler, chance)
        self._scheduler = scheduler
        self._keys: dict[str, Any] = {}
        self._ends: dict[str, float] = {}

    def client(self) -> "RedisClient":
        return RedisClient(self)

    def empty(self) -> None:
        self._keys.clear()
        self._ends.clear()

    def do(self, name: str, *arguments: Any, **options: Any) -> Any:
        for key in [key for key, end in self._ends.items() if end <= self._scheduler.now]:
            self._keys.pop(key, None)
            del self._ends[key]
        return getattr(self, f"_{name}")(*arguments, **options)

    def _hash(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self._keys.setdefault(key, {})
        return found

    def _hset(self, key: str, field: str = "", value: Any = None, mapping: Any = None) -> int:
        self._hash(key).update({name: str(one) for name, one in (mapping or {field: value}).items()})
        return 1

    def _hsetnx(self, key: str, field: str, value: Any) -> bool:
        return self._hash(key).setdefault(field, str(value)) == str(value)

    def _hget(self, key: str, field: str) -> str | None:
        return self._hash(key).get(field)

    def _hgetall(self, key: str) -> dict[str, str]:
        return dict(self._hash(key))

    def _hdel(self, key: str, *fields: str) -> int:
        return sum(self._hash(key).pop(field, None) is not None for field in fields)

    def _hlen(self, key: str) -> int:
        return len(self._keys.get(key, ()))

    def _hstrlen(self, key: str, field: str) -> int:
        return len(self._keys.get(key, {}).get(field, ""))

    def _hmget(self, key: str, fields: list[str]) -> list[str | None]:
        return [self._keys.get(key, {}).get(field) for field in fields]

    def _hincrby(self, key: str, field: str, amount: int) -> int:
        total = int(self._hash(key).get(field, 0)) + amount
        self._hash(key)[field] = str(total)
        return total

    def _hincrbyfloat(self, key: str, field: str, amount: float) -> float:
        total = float(self._hash(key).get(field, 0)) + amount
        self._hash(key)[field] = str(total)
        return total

    def _expire(self, key: str, seconds: float) -> bool:
        if key in self._keys:
            self._ends[key] = self._scheduler.now + seconds
        return key in self._keys

    def _unlink(self, *keys: str) -> int:
        return sum(self._keys.pop(key, None) is not None for key in keys)

    _delete = _unlink

    def _set(self, key: str, value: Any, *, ex: float | None = None, px: int = 0, nx: bool = False) -> Any:
        if nx and key in self._keys:
            return None
        self._keys[key] = str(value)
        self._ends.pop(key, None)
        if ex or px:
            self._ends[key] = self._scheduler.now + (ex or px / 1000)
        return True

    def _get(self, key: str) -> str | None:
        return self._keys.get(key)

    def _getrange(self, key: str, start: int, end: int) -> str:
        return str(self._keys.get(key, ""))[start : end + 1]

    def _time(self) -> tuple[int, int]:
        now = 1_767_312_000 + self._scheduler.now
        return int(now), int(now % 1 * 1e6)

    def _xread(self, streams: dict[str, str], *, count: int) -> list[Any]:
        del streams, count
        return []

    def _zadd(self, key: str, scores: dict[str, float]) -> int:
        self._keys.setdefault(key, {}).update(scores)
        return len(scores)

    def _zrem(self, key: str, *names: str) -> int:
        return sum(self._keys.get(key, {}).pop(name, None) is not None for name in names)

    def _zcard(self, key: str) -> int:
        return len(self._keys.get(key, {}))

    def _between(self, key: str, low: Any, high: Any) -> list[str]:
        scores: dict[str, float] = self._keys.get(key, {})
        found = [(score, name) for name, score in scores.items() if float(low) <= score <= float(high)]
        return [name for _, name in sorted(found)]

    def _zcount(self, key: str, low: Any, high: Any) -> int:
        return len(self._between(key, low, high))

    def _zremrangebyscore(self, key: str, low: Any, high: Any) -> int:
        return self._zrem(key, *self._between(key, low, high))

    def _zrange(self, key: str, low: Any, high: Any, *, byscore: bool, offset: int, num: int) -> list[str]:
        assert byscore, "nothing else is used"
        return self._between(key, low, high)[offset : offset + num]

    def keys(self, pattern: str) -> list[str]:
        return fnmatch.filter(self._keys, pattern)


class RedisClient:
    """What `redis.Redis` is to its users: each command by its name, or several in a pipeline."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **options: self._server.network.call(
            lambda: self._server.do(name, *arguments, **options)
        )

    def pipeline(self, *, transaction: bool = True) -> "_Pipeline":
        del transaction
        return _Pipeline(self._server)

    def close(self) -> None:
        """Have nothing to close."""


class _Pipeline:
    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._commands: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def note(*arguments: Any, **options: Any) -> "_Pipeline":
            self._commands.append((name, arguments, options))
            return self

        return note

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        del raise_on_error
        commands, self._commands = self._commands, []
        found: list[Any] = self._server.network.call(
            lambda: [self._server.do(name, *arguments, **options) for name, arguments, options in commands]
        )
        return found
