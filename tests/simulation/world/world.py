"""One world: what its plan says happens to the real code, and what came of it."""

import gc
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from masterflow.domain.events import FlowLost
from masterflow.domain.tenant import FlowContext
from masterflow.tasks.enqueue import QueueSettings
from masterflow.tracker.outbox import spool
from tests.simulation.world.chance import chance_of
from tests.simulation.world.computers import Computer
from tests.simulation.world.database import Database
from tests.simulation.world.judge import Judge
from tests.simulation.world.machine import Machine
from tests.simulation.world.outcome import Outcome
from tests.simulation.world.plan import Plan, Step
from tests.simulation.world.processes import Orchestrator, Process, Worker
from tests.simulation.world.scheduler import Activity, Scheduler
from tests.simulation.world.servers import Broker, RedisServer
from tests.support.rows.legacy import fresh_row

_CONTEXT = FlowContext(
    client_account_id=UUID(int=0xA1), engagement_id=UUID(int=0xB1), user_id=str(UUID(int=0xC1))
)
_ADDRESS = "redis://here:6379/0"
_KEYS = {str(UUID(int=0xA1)): {"k1": "a key of sixteen characters"}}

#: How long everything is given to arrive once nothing is wrong any more.
_HEALING_S = 900.0
_LOOK_INTERVAL_S = 1.0
_FLOW_GRACE_S = 5.0


def run_world(plan: Plan) -> Outcome:
    """Let a world happen."""
    folder = Path(tempfile.mkdtemp(prefix="world-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    outcome = Outcome(plan)
    collects = gc.isenabled()
    gc.disable()
    try:
        World(plan, folder, outcome).run()
    except Exception as error:  # noqa: BLE001  a world tells what went wrong in it
        outcome.failure = error
    finally:
        if collects:
            gc.enable()
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


class World:
    """The parts of a world, and what moves them."""

    def __init__(self, plan: Plan, folder: Path, outcome: Outcome) -> None:
        number = plan.number
        self._plan, self._outcome = plan, outcome
        self._scheduler = scheduler = Scheduler(chance_of(number, "order"))
        self._redis = RedisServer(scheduler, chance_of(number, "redis"))
        self._broker = Broker(scheduler, chance_of(number, "broker"))
        self._database = Database(scheduler, chance_of(number, "database"))
        self._computers = [
            Computer(f"computer{place}", folder, chance_of(number, "disk", place))
            for place in range(plan.computers)
        ]
        #: Where workers run, to which nothing happens.
        self._workshop = Computer("workshop", folder, chance_of(number, "workshop"))
        self._is_at_rest = False
        self._quiet_look_at = 0.0
        self._longest_queue = 0
        self._queue = _QUEUES[plan.has_keys]
        self._processes: list[Process] = []
        self._orchestrators: dict[int, Orchestrator] = {}
        self._workers: dict[int, Worker] = {}
        self._letters: dict[UUID, str] = {}
        kinds = {str(step.target).rstrip("0123456789") or step.what for step in plan.steps}
        self._judge = Judge(
            kinds | ({"small"} if plan.settings["max_bytes"] < 1_000_000 else set()),
            flow_grace_s=_FLOW_GRACE_S,
        )
        self._flows = [UUID(int=0xF000 + place) for place in range(len(plan.flows))]
        self._parts: dict[str, Any] = {
            "broker": self._broker,
            "broker_network": self._broker.network,
            "redis_network": self._redis.network,
            "database": self._database,
        }
        for place, computer in enumerate(self._computers):
            self._parts |= {f"clock{place}": computer, f"disk{place}": computer.disk}
        self._machine = Machine(
            number,
            scheduler,
            self._queue,
            self._redis,
            self._broker,
            running=self._running,
            wall_error_s=self._wall_error_s,
            loop=self._loop,
            apply=self._apply,
        )

    def run(self) -> None:
        """Let it happen; raises what went wrong."""
        scheduler, plan = self._scheduler, self._plan
        scheduler.look = self._look
        with self._machine.in_place():
            self._make_rows()
            for slot in range(plan.workers):
                self._start_worker(slot)
            for slot in range(plan.orchestrators):
                self._start(slot)
            for step in plan.steps:
                scheduler.at(step.at, partial(self._do, step))
            ends_s = max([plan.lasts_s, *(step.at + step.lasts_s for step in plan.steps)])
            scheduler.at(ends_s + 5.0, self._heal)
            try:
                scheduler.run(lambda: False, deadline=ends_s + 5.5)
                scheduler.run(self._is_quiet, deadline=scheduler.now + _HEALING_S)
                if scheduler.failures:
                    raise scheduler.failures[0]
                self._conclude()
            finally:
                scheduler.close(self._processes)
                for process in self._processes:
                    process.end()

    def _make_rows(self) -> None:
        for flow_id, at in zip(self._flows, self._plan.flows, strict=True):
            make = partial(self._database.add_row, flow_id, fresh_row())
            if at == 0.0:
                make()
            elif at is not None:
                self._scheduler.at(at, make)

    def _conclude(self) -> None:
        processes, outcome = self._reporters(), self._outcome
        outcome.lasted_s = self._scheduler.now
        outcome.reported = sum(len(process.told) for process in processes)
        outcome.lost = sum(process.delivery.losses.counts().total() for process in processes)
        self._note(f"in rows {len(self._database.applied)}, reported {outcome.reported}, lost {outcome.lost}")
        self._note(",".join(sorted(map(str, self._database.applied))))
        self._judge.conclude(processes, self._database, self._letters, is_quiet=self._is_at_rest)

    def _reporters(self) -> list[Orchestrator]:
        return [one for one in self._processes if isinstance(one, Orchestrator)]

    def _note(self, text: str) -> None:
        self._outcome.trace.append(f"{self._scheduler.now:.6f} {text}")

    def _do(self, step: Step) -> None:
        self._note(f"{step.what} {step.target}")
        if isinstance(step.target, int):
            self._happenings[step.what](self, step.target, step)
        elif step.what == "cut":
            self._cut_power(self._computers[int(step.target.removeprefix("power"))])
        elif step.what == "empty":
            (self._redis if step.target == "redis" else self._broker).empty()
        else:
            part = self._parts[step.target]
            former = getattr(part, step.what)
            setattr(part, step.what, step.value)
            end = self._scheduler.now + step.lasts_s
            # Of two that overlap, the one that ends last leaves nothing of either.
            self._scheduler.at(end, lambda: setattr(part, step.what, _healthy(step.what, former)))

    def _report(self, slot: int, step: Step) -> None:
        flow, kind, fields = step.value
        if slot in self._orchestrators and not self._orchestrators[slot].is_dead:
            self._orchestrators[slot].report(kind, _CONTEXT, self._flows[flow], fields)

    def _hold(self, slot: int, step: Step) -> None:
        if slot in self._orchestrators and not self._orchestrators[slot].is_dead:
            self._orchestrators[slot].hold(_CONTEXT, self._flows[step.value])

    def _kill(self, slot: int, step: Step) -> None:
        # Until it is dead, it reports.
        if orchestrator := self._orchestrators.get(slot):
            orchestrator.die_after(step.value)

    def _exit(self, slot: int, _: Step) -> None:
        if (orchestrator := self._orchestrators.pop(slot, None)) and not orchestrator.is_dead:
            orchestrator.exit()

    def _restart(self, slot: int, _: Step) -> None:
        if slot not in self._orchestrators or self._orchestrators[slot].is_dead:
            self._start(slot)

    def _freeze(self, slot: int, step: Step) -> None:
        if slot in self._orchestrators:
            self._orchestrators[slot].freeze(step.lasts_s)

    def _freeze_worker(self, slot: int, step: Step) -> None:
        if slot in self._workers:
            self._workers[slot].freeze(step.lasts_s)

    def _kill_worker_soon(self, slot: int, step: Step) -> None:
        self._scheduler.at(self._scheduler.now + step.value * 0.1, lambda: self._kill_worker(slot))

    def _restart_worker(self, slot: int, _: Step) -> None:
        self._start_worker(slot)

    _happenings: ClassVar[Mapping[str, Callable[["World", int, Step], None]]] = {
        "report": _report,
        "hold": _hold,
        "kill": _kill,
        "exit": _exit,
        "start": _restart,
        "freeze": _freeze,
        "freeze_worker": _freeze_worker,
        "kill_worker": _kill_worker_soon,
        "start_worker": _restart_worker,
    }

    def _cut_power(self, computer: Computer) -> None:
        for process in self._processes:
            if process.computer is computer:
                process.kill()
        computer.cut_power(self._scheduler.now)

    def _start(self, slot: int) -> None:
        place = len(self._processes)
        process = Orchestrator(
            self._scheduler,
            f"orchestrator {slot}.{place}",
            1_000 + place,
            self._computers[slot % len(self._computers)],
            settings=self._plan.settings,
        )
        self._orchestrators[slot] = process
        self._processes.append(process)

    def _start_worker(self, slot: int) -> None:
        if slot in self._workers:
            return
        place = len(self._processes)
        self._workers[slot] = worker = Worker(
            self._scheduler,
            f"worker {slot}.{place}",
            1_000 + place,
            self._workshop,
            broker=self._broker,
            redis=self._redis,
            database=self._database,
            queue=self._queue,
            put_letters=self._put_letters,
            flow_grace_s=_FLOW_GRACE_S,
        )
        self._processes.append(worker)

    def _kill_worker(self, slot: int) -> None:
        worker = self._workers.pop(slot, None)
        if worker is None:
            return
        taken = worker.taken()
        worker.kill()
        for message in taken:
            # A broker on Redis loses about one in two of these.
            if self._scheduler.chance.random() < 0.5:
                self._scheduler.at(self._scheduler.now + 1.0, partial(self._broker.put, message))

    def _put_letters(self, letters: Any) -> int:
        for letter in letters:
            event_id, reason, now = (
                UUID(str(letter.event.get("event_id"))),
                letter.reason,
                self._scheduler.now,
            )
            self._note(f"letter {event_id} {reason}")
            if broken := self._judge.objection_to_letter(
                letter.event, reason, self._reporters(), self._database, now
            ):
                self._scheduler.failures.append(broken)
            else:
                self._letters[event_id] = reason
        return 0

    def _heal(self) -> None:
        self._note("heal")
        for process in self._processes:
            process.frozen_until = 0.0
        for slot in range(self._plan.workers):
            self._start_worker(slot)
        # One on each computer, whatever became of the others.
        for slot in range(-len(self._computers), 0):
            self._start(slot)
            self._orchestrators[slot].adopt()

    def _is_quiet(self) -> bool:
        """Return whether nothing waits any more in any outbox."""
        if self._is_at_rest or self._scheduler.now < self._quiet_look_at:
            return self._is_at_rest
        self._quiet_look_at = self._scheduler.now + _LOOK_INTERVAL_S
        for process in self._orchestrators.values():
            numbers = process.numbers
            if not process.is_dead and numbers and (numbers["pending"] or numbers["under_way"]):
                return False
        living = {
            process.delivery._delivery.outbox.folder.name
            for process in self._orchestrators.values()
            if not process.is_dead and process.delivery._delivery is not None
        }
        # Where the power took the line that says for whom its events are, these wait for a human.
        left = {
            folder.name
            for one in self._computers
            for folder in spool.folders(one.spool)
            if not one.cuts_s or spool.broker_of(folder)
        }
        self._is_at_rest = not (left - living)
        return self._is_at_rest

    def _look(self, activity: Activity) -> None:
        if len(self._broker.waiting) > self._longest_queue:
            self._longest_queue = len(self._broker.waiting)
            self._judge.look_at_queue(self._broker.waiting)
        if isinstance(activity.host, Orchestrator):
            self._judge.look(activity.host, activity)

    def _running(self) -> Process | None:
        activity = self._scheduler.current
        host = activity.host if activity else None
        return host if isinstance(host, Process) else None

    def _wall_error_s(self) -> float:
        process = self._running()
        return process.computer.wall_error_s if process else 0.0

    def _loop(self) -> Any:
        worker = self._running()
        assert isinstance(worker, Worker), "only workers merge"
        return worker.loop

    async def _apply(self, session: Any, events: Any) -> Any:
        for event in events:
            if isinstance(event, FlowLost) and (
                broken := self._judge.objection_to_verdict(event, self._reporters())
            ):
                self._scheduler.failures.append(broken)
        outcome = await self._database.apply(session, events)
        self._note(f"merge {len(events)}")
        return outcome


def _healthy(name: str, former: Any) -> Any:
    return 0.002 if name == "slowness_s" else type(former)(0)


def _queue_settings(keys: dict[str, Any]) -> QueueSettings:
    return QueueSettings.model_validate({"redis_url": _ADDRESS, "broker_url": _ADDRESS, "signing_keys": keys})


_QUEUES = (_queue_settings({}), _queue_settings(_KEYS))
