import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

PROLOGUE = """
import resource, signal
from pathlib import Path
from tests.support.events.outboxes import Process, contents
process = Process(Path("{spool}"), segment_bytes=1_000_000)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, most))
"""


def run(spool: Path, lines: str, limit: int = 10_000) -> None:
    """Run lines in a process whose files may not grow beyond so many bytes."""
    script = PROLOGUE.format(spool=spool, limit=limit) + lines
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_where_files_may_not_grow_to_the_size_of_a_segment_more_of_them_take_everything(tmp_path):
    run(
        tmp_path / "spool",
        """
for number in range(2_000):
    process.say(number, lane="vital" if number % 2 else "detail")
sent = []
for now in range(100):
    batches = process.send(now)
    sent += contents(*batches)
    process.confirm(*batches, now=now)
    process.outbox.tidy()
assert sorted(sent) == list(range(2_000)), len(sent)
numbers = process.check_numbers(2_000)
assert numbers["confirmed"] == 2_000, numbers
""",
    )


def test_what_is_longer_than_a_file_may_be_is_counted_as_lost_and_costs_nothing_else(tmp_path):
    run(
        tmp_path / "spool",
        """
process.say(1, "x" * 20_000, 2, "x" * 20_000, 3)
assert contents(*process.send()) == [1, 2, 3]
assert process.check_numbers(5)["lost"] == 2
assert process.losses.counts() == {"disk": 2}
assert len(list(process.outbox.folder.glob("*.log"))) <= 4
""",
    )


@pytest.mark.parametrize("limit", [4_000, 10_000])
def test_a_journal_that_may_not_grow_is_shortened(tmp_path, limit):
    run(
        tmp_path / "spool",
        """
for number in range(300):
    process.say(number)
    process.confirm(*process.send(number), now=number)
    process.outbox.tidy()
process.say(300)
assert len(process.send(301)) == 1
process.die()
from masterflow.tracker.outbox.adoption import adopt_orphans
heir = Process(process.outbox.folder.parent)
assert adopt_orphans(heir.outbox) == 1
assert heir.send(302) == []
""",
        limit,
    )
