"""Hooks in real processes, into which signals, time limits and the garbage collector come."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterflow.scripts.embedded import EmbeddedRedis
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.stub_worker import StubWorker


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., Orchestrator]]:
    """What starts an orchestrator on the spool of this test."""
    started: list[Orchestrator] = []

    def start(lines: str, **settings: str) -> Orchestrator:
        settings = {"REDIS_URL": redis_url, "ENRICHMENT_SPOOL_DIR": str(tmp_path / "spool"), **settings}
        started.append(Orchestrator(tmp_path / str(len(started)), SIGNALS + lines, **settings))
        return started[-1]

    yield start
    for orchestrator in started:
        orchestrator.process.stop()


SIGNALS = """
import faulthandler, gc, random, signal
faulthandler.dump_traceback_later(50, exit=True)

def for_a_while(work, seconds=2.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work()

"""


def check(start: Callable[..., Orchestrator], redis_url: str, lines: str) -> Orchestrator:
    """Run lines, and see that all that was reported is delivered and the numbers add up."""
    with StubWorker(redis_url) as worker:
        orchestrator = start(lines + "\nsignal.setitimer(signal.ITIMER_REAL, 0); assert tracker.flush(30)")
        assert orchestrator.wait(60) == 0, orchestrator.log.read_text()
        eventually(lambda: set(orchestrator.accepted) <= set(worker.event_ids))
    assert len(orchestrator.accepted) > 100
    assert max(Counter(worker.event_ids).values()) == 1
    return orchestrator


def test_a_signal_handler_may_report_while_its_thread_is_in_a_hook(start, redis_url):
    lines = """
signal.signal(signal.SIGALRM, lambda *_: say())

def interrupted():
    # Once each time, or a slow machine would do nothing but handle signals.
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.001))
    say(3)

for_a_while(interrupted)
signal.setitimer(signal.ITIMER_REAL, 0)
assert tracker.outbox_status()["lost"] == {}, tracker.outbox_status()
"""
    check(start, redis_url, lines)


def test_the_garbage_collector_may_close_a_phase_while_its_thread_is_in_a_hook(start, redis_url):
    lines = """
flow = tracker.create_progress_tracker(uuid.UUID(int=3), context)

def rows():
    with tracker.phase("reading", flow=flow):
        yield 1
        yield 2

def forget():
    box = {}
    box["rows"], box["itself"] = rows(), box
    next(box["rows"])

gc.set_threshold(3)
for_a_while(lambda: (forget(), say()))
gc.collect()
assert tracker.outbox_status()["lost"] == {}, tracker.outbox_status()
"""
    check(start, redis_url, lines)


INTERRUPTED = """
class SoftLimit(Exception):
    pass

def stop(*_):
    raise {kind}("time is over")

signal.signal(signal.SIGALRM, stop)
flow = tracker.create_progress_tracker(uuid.UUID(int=3), context)
say(10)
time.sleep(0.5)
came = 0
for _ in range(150):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.004))
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with tracker.phase("p", flow=flow):
                say()
    except {kind} as error:
        came += str(error) == "time is over"
assert came == 150, came
say(200)
numbers = tracker.outbox_status()
assert numbers["lost"] == {{}}, numbers
"""


@pytest.mark.parametrize("kind", ["SoftLimit", "TimeoutError", "KeyboardInterrupt"])
def test_what_a_signal_handler_raises_reaches_the_flow_and_loses_nothing(start, redis_url, kind):
    check(start, redis_url, INTERRUPTED.format(kind=kind))


def test_a_fork_does_not_wait_for_a_name_server_that_hangs(start):
    lines = """
import socket
from masterflow.tracker.outbox import sender
sender._LONGEST_FORK_WAIT_S = 40
let_go, is_asked = threading.Event(), threading.Event()
def hang(*_, **__):
    is_asked.set()
    let_go.wait()
    raise socket.gaierror(-3, "Temporary failure in name resolution")
socket.getaddrinfo = hang
say()
assert is_asked.wait(30)
begin = time.monotonic()
for _ in range(5):
    if os.fork() == 0:
        os._exit(0)
    os.wait()
print("took", time.monotonic() - begin, flush=True)
let_go.set()
os._exit(0)
"""
    orchestrator = start(lines, REDIS_URL="redis://nowhere.invalid:6379/0")
    assert orchestrator.wait(60) == 0, orchestrator.log.read_text()
    assert float(orchestrator.log.read_text().split()[-1]) < 1


def test_what_is_reported_at_the_very_end_of_a_process_is_kept(start, own_redis: EmbeddedRedis, tmp_path):
    lines = """
import atexit
from masterflow.domain import event_text
from masterflow.domain.events import PhaseTimed
phases = iter("abcde")
whose = (context, uuid.UUID(int=3))
def tell(
    report=tracker.report, kinds=(FlowRetried, PhaseTimed), forget=event_text._second.cache_clear,
    whose=whose,
):
    forget()  # As if the last report had been in another second.
    report(kinds[0], *whose)
    report(kinds[1], *whose, phase=next(phases), execution_time_ms=1)
class Last:
    def __init__(self, name):
        self.tell, self.name = tell, name
    def __del__(self, report=tracker.report, kind=PhaseTimed, status=tracker.outbox_status, whose=whose):
        if self.name == "in the modules":
            report(kind, *whose, phase=None, execution_time_ms=1)  # It makes no sense, for the first time.
        self.tell()
        print("reported", self.name, dict(status()["lost"]), flush=True)
atexit.register(tell)
kept = Last("a global")
cycle = [Last("in a cycle")]
cycle.append(cycle)
del cycle
sys.modules["masterflow.last"] = Last("in the modules")
tell()
"""
    with StubWorker(own_redis.url) as worker:
        orchestrator = start(lines, REDIS_URL=own_redis.url)
        assert orchestrator.wait(60) == 0, orchestrator.log.read_text()
        log = orchestrator.log.read_text()
        assert log.count("reported in") == 2
        assert "reported in the modules {'invalid': 1}\n" in log
        assert "reported a global {'invalid': 1}\n" in log
        assert "Traceback" not in log
        assert "Exception ignored" not in log
        start("time.sleep(60)", REDIS_URL=own_redis.url)
        eventually(lambda: len(set(worker.event_ids)) == 10, timeout_s=40)
