"""Where the real code looks for the machine that it runs on, and finds a world."""

import atexit
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from masterflow.domain import backoff
from masterflow.domain import clock as domain_clock
from masterflow.domain.records import superseded
from masterflow.repository.merge.merges import apply_events
from masterflow.tasks.broker import redis_client
from masterflow.tasks.delivery import message as delivery_message
from masterflow.tasks.delivery import task as delivery_task
from masterflow.tasks.delivery.loop import worker_loop
from masterflow.tasks.enqueue import QueueSettings
from masterflow.tasks.inbox import admission
from masterflow.tasks.publishing.transports import transport_to
from masterflow.tracker import flow_record
from masterflow.tracker.life.holdings import process_holdings
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.outbox.spool import shared_file_system
from masterflow.tracker.outbox.window import Parcel
from masterflow.tracker.reentry import Wake
from masterflow.tracker.waits import deadlines
from tests.simulation.world.chance import chance_of
from tests.simulation.world.disk import Caller, watched_calls
from tests.simulation.world.names import places_of, put_in_place
from tests.simulation.world.processes import OF_A_PROCESS
from tests.simulation.world.scheduler import Scheduler
from tests.simulation.world.servers import Broker, RedisServer
from tests.simulation.world.threads import Threads, VirtualTime

#: A lock is real; a thread and a wait are the world's.
_PLACES = {
    "time": places_of(time),
    "threading": [place for place in places_of(threading) if ".tracker.outbox." in place[0].__name__],
    "wake": places_of(Wake),
    "datetime": [
        (module, "datetime") for module in (delivery_message, admission, superseded, flow_record, deadlines)
    ],
    "queue": [place for place in places_of(QueueSettings) if ".tracker.outbox." in place[0].__name__],
    "redis": places_of(redis_client),
    "transport": places_of(transport_to),
    "mounts": places_of(shared_file_system),
    "loop": places_of(worker_loop),
    "apply": [place for place in places_of(apply_events) if ".tasks.delivery." in place[0].__name__],
    "gc": [(delivery_task, "gc")],
    # It has asked for the time's function when it was imported.
    "parcel": places_of(Parcel),
}


@dataclass(frozen=True)
class Machine:
    """What stands for the machine, and for the servers that it reaches."""

    number: int
    scheduler: Scheduler
    queue: QueueSettings
    redis: RedisServer
    broker: Broker
    #: Whose code runs, and how wrong the clock is there.
    running: Callable[[], Caller | None]
    wall_error_s: Callable[[], float]
    #: What a worker merges with.
    loop: Callable[[], Any]
    apply: Callable[[Any, Any], Any]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the real code find this world where it looks for the machine."""
        # The thread that looks out for what others left would come in between, at times of its own.
        process_delivery.rest()
        time_module, threads = VirtualTime(self.scheduler, self.wall_error_s), Threads(self.scheduler)
        names, places = chance_of(self.number, "names"), _PLACES
        with ExitStack() as stack:
            stack.enter_context(
                put_in_place(
                    (places["time"], time_module),
                    (places["threading"], threads),
                    (places["wake"], threads.Wake),
                    (places["datetime"], time_module.datetime_class()),
                    (places["queue"], lambda: self.queue),
                    (places["redis"], lambda _: self.redis.client()),
                    (places["transport"], lambda _: self.broker.transport()),
                    (places["mounts"], lambda _: ""),
                    (places["loop"], self.loop),
                    (places["apply"], self.apply),
                    (places["parcel"], partial(_parcel, time_module.time)),
                    (places["gc"], SimpleNamespace(collect=lambda: 0)),
                    ([(backoff, "_chance")], chance_of(self.number, "backoff")),
                    ([(domain_clock, "_run_ns")], partial(time_module.clock_gettime_ns, 0)),
                    ([(domain_clock, "_random")], chance_of(self.number, "ids")),
                )
            )
            stack.enter_context(patch.object(os, "register_at_fork", lambda **_: None))
            stack.enter_context(patch.object(atexit, "register", lambda _: None))
            stack.enter_context(patch.object(secrets, "token_bytes", lambda size=8: names.randbytes(size)))
            stack.enter_context(_silence())
            stack.enter_context(_kept())
            stack.enter_context(watched_calls(chance_of(self.number, "calls"), self.running))
            yield


def _parcel(now: Callable[[], float], *values: Any) -> Parcel:
    parcel = Parcel(*values)
    parcel.begun_at = now()
    return parcel


@contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _kept() -> Iterator[None]:
    """Give the process that runs the tests its own variables back."""
    before = process_holdings.now, process_holdings.dead, process_holdings.begin
    try:
        yield
    finally:
        process_holdings.now, process_holdings.dead, process_holdings.begin = before
        for thing, places in OF_A_PROCESS:
            for module, name in places:
                setattr(module, name, thing)
