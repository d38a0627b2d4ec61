"""The signs of life that this process gives while it holds flows, from its sender's thread."""

import os
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from redis import RedisError

from masterflow.domain.clock import clock
from masterflow.domain.life.holding import host_of
from masterflow.domain.life.proofs import Spoken, make_proofs
from masterflow.domain.life.signs import OWN_FIELD, SIGN_INTERVAL_S, Held, own_text
from masterflow.domain.redis_keys import ALIVE_KEY, holds_key
from masterflow.tasks.enqueue import BrokerUnavailable, QueueSettings, redis_client
from masterflow.tracker.life.holdings import process_holdings

#: Longer than any silence after which a flow counts as lost.
_KEPT_S: Final = 86_400

#: The server's clock may be off from where it was by so much before its sign is given again.
_STEP_S: Final = 1.0


class Signs:
    """Tells Redis every 5 s that this process lives and what it holds; nothing while it holds nothing.

    Times are the server's, as the clocks of hosts may be wrong: its own clock says only how long ago the
    server was asked.
    """

    def __init__(self, settings: QueueSettings, sender_id: str) -> None:
        self._redis = redis_client(settings)
        self._sender_id = sender_id
        self._keys = settings.signing_keys
        self._key = holds_key(sender_id)
        self._told: dict[UUID, str] = {}
        self._sequence = 0
        self._give_at = 0.0
        self._has_given = False
        self._server_ahead_s: float | None = None

    def give(self, now: float) -> None:
        """Give a sign if it is time, at the first flow at once.

        Raises:
            BrokerUnavailable: Redis did not answer; the next time will do.
        """
        # Nobody looks through what is held, which may be much, before a sign is due.
        if self._has_given and now < self._give_at:
            return
        holdings = process_holdings.now
        flows = holdings.flows()
        if not (flows or self._has_given or process_holdings.dead):
            return
        self._give_at = now + SIGN_INTERVAL_S
        try:
            self._forget_dead()
            if flows:
                holdings.note_moment()
                held = {flow_id: holder.sign(flow) for flow_id, (flow, holder) in flows.items() if holder}
                self._tell(held)
            elif self._has_given:
                self._withdraw()
        except RedisError as error:
            # What was told may be gone, and come back in part by a sign that was taken without an answer.
            self._told = {}
            raise BrokerUnavailable(f"Redis took no sign of life ({type(error).__name__}).") from error

    def close(self, *, for_good: bool) -> None:
        """Close the connection; `for_good` if nobody of this name holds anything any more."""
        try:
            if self._has_given and for_good:
                self._withdraw()
        except RedisError:
            self._has_given = False  # The watch will find out.
        finally:
            self._redis.close()

    def _tell(self, held: dict[UUID, Held]) -> None:
        if self._server_ahead_s is None:
            self._server_ahead_s = self._server_time() - time.monotonic()
        texts = {flow_id: one.text() for flow_id, one in held.items()}
        accounts: dict[UUID, dict[str, str]] = {}
        for flow_id, one in held.items():
            account = one.flow.context.client_account_id
            accounts.setdefault(account, {})[str(flow_id)] = texts[flow_id]
        if not self._tell_once(texts, accounts):
            # Redis was emptied meanwhile, or its clock has moved.
            self._tell_once(texts, accounts)

    def _tell_once(self, texts: dict[UUID, str], accounts: Mapping[UUID, Mapping[str, str]]) -> bool:
        """Tell what is new; return whether all is as it was thought to be."""
        self._sequence += 1
        news = {str(flow_id): text for flow_id, text in texts.items() if self._told.get(flow_id) != text}
        gone = [str(flow_id) for flow_id in self._told if flow_id not in texts]
        guessed_s = time.monotonic() + (self._server_ahead_s or 0.0)
        own = self._own_text(int(guessed_s * 1_000), accounts)
        # All at once: who reads a part of it finds no proof that fits.
        pipeline: Any = self._redis.pipeline(transaction=True)
        pipeline.expire(self._key, _KEPT_S)
        if not self._told:
            pipeline.delete(self._key)
        pipeline.hset(self._key, mapping={OWN_FIELD: own, **news})
        if gone:
            pipeline.hdel(self._key, *gone)
        pipeline.zadd(ALIVE_KEY, {self._sender_id: round(guessed_s, 3)})
        pipeline.expire(ALIVE_KEY, _KEPT_S)
        pipeline.time()
        was_there, *_, (seconds, microseconds) = pipeline.execute()
        was_new, self._has_given, self._told = not self._told, True, texts
        now_s = seconds + microseconds / 1e6
        self._server_ahead_s = now_s - time.monotonic()
        if not was_there:
            self._told = {}
        return (bool(was_there) or was_new) and abs(now_s - guessed_s) < _STEP_S

    def _own_text(self, at_ms: int, accounts: Mapping[UUID, Mapping[str, str]]) -> str:
        host, pid, moment = host_of(self._sender_id), os.getpid(), clock.tick_microseconds()
        spoken = Spoken(self._sender_id, host, pid, moment, self._sequence, at_ms)
        proofs = make_proofs(spoken, accounts, self._keys)
        return own_text(
            host=host, pid=pid, moment=moment, sequence=self._sequence, at_ms=at_ms, proofs=proofs
        )

    def _server_time(self) -> float:
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6

    def _withdraw(self) -> None:
        self._remove(self._sender_id)
        self._has_given, self._told = False, {}

    def _forget_dead(self) -> None:
        while process_holdings.dead:
            self._remove(process_holdings.dead[0])
            process_holdings.dead.popleft()

    def _remove(self, sender_id: str) -> None:
        pipeline: Any = self._redis.pipeline(transaction=False)
        pipeline.zrem(ALIVE_KEY, sender_id)
        pipeline.delete(holds_key(sender_id))
        pipeline.execute()
