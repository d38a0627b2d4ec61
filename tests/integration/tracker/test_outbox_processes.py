import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from masterflow.tracker.outbox.segments import Segment
from masterflow.tracker.outbox.spool import statuses
from tests.support.eventually import eventually
from tests.support.processes.orchestrators import Orchestrator
from tests.support.processes.stub_worker import StubWorker

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Orchestrator]]:
    """What starts an orchestrator on the spool of this test."""
    started: list[Orchestrator] = []

    def start(lines: str, redis_url: str = NOWHERE, **settings: str) -> Orchestrator:
        settings = {"REDIS_URL": redis_url, "ENRICHMENT_SPOOL_DIR": str(tmp_path / "spool"), **settings}
        started.append(Orchestrator(tmp_path / str(len(started)), lines, **settings))
        return started[-1]

    yield start
    for orchestrator in started:
        orchestrator.process.stop()


def spooled(folder: Path) -> list[str]:
    """Return the ids of the events in every segment of the spool."""
    ids = []
    for segment in map(Segment.find, (folder / "spool").glob("*/*.log")):
        while segment.read_to < segment.size:
            span = segment.read(segment.read_to, segment.size)
            ids += [json.loads(text)["event_id"] for texts in span.events.values() for text in texts]
            segment.read_to = span.end
    return ids


def has_said(orchestrator: Orchestrator, count: int) -> bool:
    return len(orchestrator.accepted) >= count


def test_a_kill_at_any_moment_loses_no_event_whose_hook_has_returned(start, tmp_path):
    accepted: list[str] = []
    for _ in range(8):
        orchestrator = start("say(1_000_000)", ENRICHMENT_SEGMENT_BYTES="20000")
        eventually(partial(has_said, orchestrator, 20))
        time.sleep(random.uniform(0, 0.03))
        orchestrator.process.kill()
        accepted += orchestrator.accepted
    assert set(accepted) <= set(spooled(tmp_path))
    assert len(accepted) >= 8 * 20


def test_what_a_killed_process_left_is_delivered_by_the_next_one_within_ten_seconds(start, redis_url):
    dead = start("say(200); os.kill(os.getpid(), 9)", redis_url)
    assert dead.wait() == 128 + signal.SIGKILL
    with StubWorker(redis_url) as worker:
        started_at = time.monotonic()
        living = start("say(); time.sleep(60)", redis_url)
        eventually(lambda: set(dead.accepted) | set(living.accepted) <= set(worker.event_ids))
        assert time.monotonic() - started_at < 10


def test_what_a_process_left_that_dies_later_is_delivered_within_ten_seconds(start, redis_url):
    with StubWorker(redis_url) as worker:
        living = start("say(); time.sleep(60)", redis_url)
        eventually(lambda: set(living.accepted) <= set(worker.event_ids) and living.accepted)
        dead = start("say(200); os.kill(os.getpid(), 9)", redis_url)
        dead.wait()
        eventually(lambda: set(dead.accepted) <= set(worker.event_ids), timeout_s=10)


def test_a_short_script_delivers_before_it_ends(start, redis_url, tmp_path):
    with StubWorker(redis_url) as worker:
        orchestrator = start("say(30)", redis_url)
        assert orchestrator.wait() == 0, orchestrator.log.read_text()
        assert sorted(worker.event_ids) == sorted(orchestrator.accepted)
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.long("raise SystemExit(0)", "sys.exit(0)")
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "raise SystemExit(0)", "os.abort()"])
def test_however_a_process_ends_its_events_stay(start, tmp_path, end):
    orchestrator = start(f"say(30); {end}")
    orchestrator.wait()
    assert sorted(spooled(tmp_path)) == sorted(orchestrator.accepted)
    assert len(orchestrator.accepted) == 30


def test_without_a_broker_a_script_ends_as_soon_as_it_knows(start):
    orchestrator = start(
        "say(3); begin = time.monotonic(); tracker.outbox.process.process_delivery._close_at_exit(); "
        "print(time.monotonic() - begin)"
    )
    assert orchestrator.wait() == 0
    assert float(orchestrator.log.read_text().split()[-1]) < 1.0


def test_without_a_worker_a_script_waits_for_a_bounded_time(start, redis_url):
    orchestrator = start(
        "say(3); begin = time.monotonic(); tracker.outbox.process.process_delivery._close_at_exit(); "
        "print(time.monotonic() - begin)",
        redis_url,
        ENRICHMENT_EXIT_TIMEOUT_S="0.7",
    )
    assert orchestrator.wait() == 0
    assert 0.6 < float(orchestrator.log.read_text().split()[-1]) < 1.7


FORKING = """
say(300)
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        say(50)
        {end}
    children.append(child)
    say(100)
for child in children:
    os.waitpid(child, 0)
say(50)
print("flushed", tracker.flush(20))
"""


@pytest.mark.parametrize("end", ["assert tracker.flush(20); os._exit(0)", "sys.exit(0)"])
def test_forked_children_report_at_once_and_nobody_sends_what_is_anothers(start, redis_url, end):
    with StubWorker(redis_url) as worker:
        orchestrator = start(FORKING.format(end=end), redis_url)
        assert orchestrator.wait(60) == 0, orchestrator.log.read_text()
        assert "flushed True" in orchestrator.log.read_text()
        assert len(orchestrator.accepted) == 300 + 4 * 150 + 50
        eventually(lambda: set(worker.event_ids) == set(orchestrator.accepted))
    assert max(Counter(worker.event_ids).values()) == 1


def test_what_a_child_left_that_ended_at_once_is_delivered_by_its_parent(start, redis_url):
    with StubWorker(redis_url) as worker:
        orchestrator = start(FORKING.format(end="os._exit(0)") + "time.sleep(60)", redis_url)
        eventually(lambda: len(orchestrator.accepted) == 950, timeout_s=20)
        eventually(lambda: set(worker.event_ids) == set(orchestrator.accepted), timeout_s=15)


CHILDREN_ALONE = """
for number in range(6):
    child = os.fork()
    if child == 0:
        assert threading.active_count() == 1
        say(10)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    time.sleep(0.8)
time.sleep(60)
"""


@pytest.mark.long
def test_children_of_a_parent_that_only_forks_are_looked_after_though_it_forks_often(start, redis_url):
    with StubWorker(redis_url) as worker:
        orchestrator = start(CHILDREN_ALONE, redis_url)
        eventually(lambda: len(orchestrator.accepted) == 60, timeout_s=20)
        eventually(lambda: set(worker.event_ids) == set(orchestrator.accepted), timeout_s=10)


def test_what_ended_at_once_is_delivered_by_a_living_process_that_has_reported_nothing(start, redis_url):
    with StubWorker(redis_url) as worker:
        silent = start("open('imported', 'w').close(); time.sleep(60)", redis_url)
        eventually((silent.folder / "imported").exists)
        ended = start("say(10); os._exit(0)", redis_url)
        ended.wait()
        eventually(lambda: set(ended.accepted) <= set(worker.event_ids), timeout_s=10)
    assert len(ended.accepted) == 10


SPAWNED = """
import multiprocessing, pathlib, pickle, subprocess
pathlib.Path("spawned.py").write_text('''
import os
from masterflow import tracker
from masterflow.domain.events import FlowRetried
def say(context):
    for number in range(10):
        event_id = f"00000000-0000-0000-{os.getpid() % 10_000:04d}-{number:012d}"
        tracker.report(FlowRetried, context, "3" * 32, event_id=event_id)
        with open("accepted", "a") as file:
            print(event_id, file=file)
    os._exit(0)
''')
sys.path.insert(0, os.getcwd())
os.environ["PYTHONPATH"] += ":" + os.getcwd()
import spawned
if "{method}" == "subprocess":
    code = "import sys, pickle, spawned; spawned.say(pickle.loads(bytes.fromhex(sys.argv[1])))"
    for _ in range(4):
        subprocess.run([sys.executable, "-c", code, pickle.dumps(context).hex()], check=True)
else:
    children = [
        multiprocessing.get_context("{method}").Process(target=spawned.say, args=(context,))
        for _ in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
open("ended", "w").close()
time.sleep(60)
"""


@pytest.mark.long(but=["spawn"])
@pytest.mark.parametrize("method", ["spawn", "forkserver", "subprocess"])
def test_what_children_left_that_were_not_forked_is_delivered_by_their_parent(start, redis_url, method):
    with StubWorker(redis_url) as worker:
        parent = start(SPAWNED.replace("{method}", method), redis_url)
        eventually((parent.folder / "ended").exists, timeout_s=30)
        eventually(lambda: set(parent.accepted) == set(worker.event_ids), timeout_s=10)
    assert len(parent.accepted) == 40


def test_a_child_of_a_child_and_a_pool_of_processes_report_too(start, redis_url):
    lines = """
import multiprocessing
say()
with multiprocessing.get_context("fork").Pool(3) as pool:
    pool.map(say, [10] * 30)
if os.fork() == 0:
    say(10)
    if os.fork() == 0:
        say(10)
        os._exit(not tracker.flush(20))
    os.wait()
    os._exit(not tracker.flush(20))
os.wait()
time.sleep(60)
"""
    with StubWorker(redis_url) as worker:
        orchestrator = start(lines, redis_url)
        eventually(lambda: len(orchestrator.accepted) == 1 + 300 + 20, timeout_s=30)
        eventually(lambda: set(worker.event_ids) == set(orchestrator.accepted), timeout_s=20)


def test_forking_while_threads_report_never_blocks_a_child(start, redis_url):
    lines = """
threads = [threading.Thread(target=say, args=(1_000_000,), daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        say(2)
        os._exit(0)
    deadline = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline, "a child hangs"
        time.sleep(0.002)
print("fifty children", flush=True)
os._exit(0)
"""
    with StubWorker(redis_url):
        orchestrator = start(lines, redis_url)
        assert orchestrator.wait(90) == 0, orchestrator.log.read_text()
        assert "fifty children" in orchestrator.log.read_text()


def test_a_living_child_does_not_keep_its_dead_parents_events_from_being_adopted(start, redis_url, tmp_path):
    lines = """
say(5)
if os.fork() == 0:
    time.sleep(60)
os.kill(os.getpid(), 9)
"""
    orchestrator = start(lines)
    eventually(lambda: len(orchestrator.accepted) == 5 and not is_locked(tmp_path / "spool"))


def is_locked(spool: Path) -> bool:
    return any(status.has_owner for status in statuses(spool))


def test_every_thread_of_a_process_reports(start, redis_url):
    lines = """
threads = [threading.Thread(target=say, args=(100,)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert tracker.flush(20)
"""
    with StubWorker(redis_url) as worker:
        orchestrator = start(lines, redis_url)
        assert orchestrator.wait(60) == 0, orchestrator.log.read_text()
        assert len(orchestrator.accepted) == 800
        assert sorted(worker.event_ids) == sorted(orchestrator.accepted)


def test_a_process_has_two_threads_of_ours_and_one_before_its_first_event(start, redis_url):
    lines = """
names = sorted(thread.name for thread in threading.enumerate())
assert names == ["MainThread", "enrichment-outbox-lookout"], names
say(100)
# It ends by itself; this waits for it.
tracker.outbox.process.process_delivery.rest()
names = sorted(thread.name for thread in threading.enumerate())
assert names == ["MainThread", "enrichment-outbox-sender", "enrichment-outbox-sync"], names
assert all(thread.daemon for thread in threading.enumerate()[1:])
"""
    orchestrator = start(lines, redis_url)
    assert orchestrator.wait() == 0, orchestrator.log.read_text()


def test_a_full_disk_costs_events_but_no_flow(start, redis_url):
    lines = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
say(5)
tracker.flush(5)
# Less than an event takes, so that no file takes one; the log takes its line.
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
os.dup2(os.open("/dev/null", os.O_WRONLY), notes)
say(1_000)
print(tracker.outbox_status()["lost"])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert tracker.flush(10)
say(5)
assert tracker.flush(10)
print(tracker.outbox_status())
"""
    with StubWorker(redis_url) as worker:
        orchestrator = start(lines, redis_url)
        assert orchestrator.wait() == 0, orchestrator.log.read_text()
        log = orchestrator.log.read_text()
        assert log.count("Lost") == 1
        assert "'disk': 1000" in log
        assert len(set(worker.event_ids)) == 10


def test_memory_stays_flat_however_much_waits(start, redis_url):
    lines = """
import resource
say(3_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
os.dup2(os.open("/dev/null", os.O_WRONLY), notes)
say(30_000)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown, tracker.outbox_status()["pending_records"], flush=True)
os._exit(0)
"""
    orchestrator = start(lines, redis_url)
    assert orchestrator.wait(120) == 0, orchestrator.log.read_text()
    grown_kib, pending = map(int, orchestrator.log.read_text().split()[-2:])
    assert pending == 33_000
    assert grown_kib < 3_000
