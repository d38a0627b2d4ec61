"""Plausible mistakes, each as a text that takes another's place, and the tests that are to find it."""

from dataclasses import dataclass

_UNIT = "tests/unit"
_OUTBOX = "tests/unit/tracker/outbox"
_WINDOW = "tests/unit/tracker/test_sender_window.py"
_ADOPTION = f"{_OUTBOX}/test_outbox_adoption.py"
_POWER_CUTS = f"{_OUTBOX}/test_power_cuts.py::test_no_power_cut_costs_what_was_synced[{{}}]"
_EVICTION = f"{_OUTBOX}/test_eviction.py"
_NUMBERS = f"{_OUTBOX}/test_outbox_numbers.py"
_SEGMENTS = "tests/unit/tracker/test_outbox_segments.py"
_CLOCK = f"{_UNIT}/domain/test_clock_jumps.py"
_LAW = "tests/integration/merge/test_merge_law.py::test_the_law_and_the_model_hold_at_every_bound"
_OTHERS = "tests/integration/merge/test_merge_and_others.py"


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake: `old`, which stands once in the file, becomes `new`; `tests` are for pytest."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BUGS: tuple[Bug, ...] = (
    # Sending
    Bug(
        "due() compares the wrong way",
        "tracker/outbox/window.py",
        "            if now < parcel.resend_at:\n",
        "            if now > parcel.resend_at:\n",
        (_WINDOW,),
    ),
    Bug(
        "what was passed over is not repeated",
        "tracker/outbox/window.py",
        "if is_probe or is_passed or not",
        "if is_probe or not",
        (_WINDOW,),
    ),
    Bug(
        "a batch counts as passed over by itself",
        "tracker/outbox/window.py",
        "if 0 < parcel.last_sending < newest and",
        "if 0 < parcel.last_sending <= newest + 1 and",
        (_WINDOW,),
    ),
    Bug(
        "the window takes one batch too many",
        "tracker/outbox/window.py",
        "len(cuts) >= WINDOW_BATCHES",
        "len(cuts) > WINDOW_BATCHES",
        (_WINDOW,),
    ),
    Bug(
        "the wait of a repetition does not grow",
        "tracker/outbox/window.py",
        "        parcel.wait_s = pause_s(2, first_s=parcel.wait_s, longest_s=_LONGEST_CONFIRM_TIMEOUT_S)\n",
        "",
        (_WINDOW,),
    ),
    Bug(
        "a confirmed batch stays in its segment's count",
        "tracker/outbox/window.py",
        "                segment = span.segment\n                segment.batches_under_way -= 1\n",
        "                segment = span.segment\n",
        (_ADOPTION, _NUMBERS),
    ),
    Bug(
        "a batch's id does not say whose it is",
        "tracker/outbox/folder.py",
        "places = [account, *(",
        "places = [*(",
        (_ADOPTION, _WINDOW),
    ),
    Bug(
        "a snapshot ahead of the clock supersedes others",
        "domain/records/superseded.py",
        "        if time <= now:\n",
        "        if time:\n",
        (f"{_UNIT}/domain/records/test_superseded.py",),
    ),
    # Taking over
    Bug(
        "the lock of an adoption is lost",
        "tracker/outbox/spool.py",
        "        is_dead = is_taken(descriptor)\n",
        "        is_dead = is_taken(descriptor) or True\n",
        (_ADOPTION, f"{_OUTBOX}/test_spool.py"),
    ),
    Bug(
        "what is for another broker is adopted",
        "tracker/outbox/adoption.py",
        "if whoever or (broker and broker == outbox.own.broker):",
        "if whoever or broker:",
        (_ADOPTION,),
    ),
    Bug(
        "a confirmation is not noted in the journal",
        "tracker/outbox/window.py",
        '        self._note({"done": [parcel.batch_id for parcel in confirmed]})\n',
        "",
        (_ADOPTION,),
    ),
    Bug(
        "what a dead process saw confirmed is sent again",
        "tracker/outbox/window.py",
        "if parcel.batch_id not in journal.done:",
        "if parcel.batch_id:",
        (_ADOPTION,),
    ),
    # Power cuts
    Bug(
        "what was appended is not synced",
        "tracker/outbox/outbox.py",
        "                try:\n                    segment.sync()\n",
        "                try:\n                    segment.is_settled  # noqa: B018\n",
        (_POWER_CUTS.format("plain"),),
    ),
    Bug(
        "the folders above a new spool are not synced",
        "tracker/outbox/folder.py",
        "unsynced=[folder.parent for folder in missing]",
        "unsynced=[]",
        (_POWER_CUTS.format("plain"),),
    ),
    Bug(
        "a folder is not synced before files come into it",
        "tracker/outbox/adoption.py",
        "            outbox.sync_names()\n            outbox.sync_names(*found)\n",
        "            pass\n",
        (_POWER_CUTS.format("adopted"),),
    ),
    Bug(
        "a full outbox rewrites a file in place",
        "tracker/outbox/segments.py",
        "            self._replace(self.data(0, self.read_to) + data)\n",
        "            raise OSError\n",
        (_POWER_CUTS.format("full"),),
    ),
    Bug(
        "a file that was made shorter is not synced",
        "tracker/outbox/segments.py",
        "state != self._synced:",
        "state[1] > self._synced[1]:",
        (_POWER_CUTS.format("shorter"),),
    ),
    Bug(
        "a broker that is known late is not synced",
        "tracker/outbox/folder.py",
        "                    os.fsync(self._descriptor)\n            return",
        "            return",
        (_POWER_CUTS.format("named later"),),
    ),
    # What is dropped, and what is damaged
    Bug(
        "details make room for themselves among what goes last",
        "tracker/outbox/eviction.py",
        'return lane == "vital" and self._thin_out(',
        "return self._thin_out(",
        (_EVICTION,),
    ),
    Bug(
        "what is left out is not counted",
        "tracker/outbox/eviction.py",
        "    segment.lost_records += len(lines) - len(kept)\n",
        "",
        (_EVICTION, _NUMBERS),
    ),
    Bug(
        "an off-by-one in the bound of the outbox",
        "tracker/outbox/outbox.py",
        "self._lanes.bytes + more_bytes <= self._settings",
        "self._lanes.bytes <= self._settings",
        (_EVICTION, _NUMBERS, "tests/unit/tracker/test_outbox.py"),
    ),
    Bug(
        "a record's checksum is not looked at",
        "tracker/outbox/segments.py",
        'if key < 0 or line[:8] != b"%08x" % zlib.crc32(event):',
        "if key < 0:",
        (_SEGMENTS, f"{_OUTBOX}/test_damaged_segments.py"),
    ),
    # Time and counts
    Bug(
        "the clock goes back",
        "domain/clock.py",
        "                now = now if now > last else last + 1\n",
        "",
        (_CLOCK, f"{_UNIT}/domain"),
    ),
    Bug(
        "a resumed flow's time is forgotten",
        "domain/clock.py",
        "stamp = now if now > lowest else lowest + 1",
        "stamp = now",
        (_CLOCK, f"{_UNIT}/domain"),
    ),
    Bug(
        "one bad reading moves the clock",
        "domain/clock.py",
        "_JUMP_LASTS_NS = 60 *",
        "_JUMP_LASTS_NS = 0 *",
        (_CLOCK,),
    ),
    Bug(
        "what is counted begins at zero",
        "domain/counting.py",
        "counter.numbers.setdefault(what, count(1))",
        "counter.numbers.setdefault(what, count(0))",
        (f"{_UNIT}/domain/test_counting.py", f"{_UNIT}/tracker/test_attempts.py"),
    ),
    Bug(
        "a pause doubles too early",
        "domain/backoff.py",
        "min(failures - 1, 60)",
        "min(failures, 60)",
        (f"{_UNIT}/tasks/test_retry.py", _WINDOW),
    ),
    # Secrets and tenants
    Bug(
        "values under secret keys are shown",
        "domain/payload/masking.py",
        "return secrecy(key) is not None",
        "return secrecy(key) is None and False",
        (f"{_UNIT}/domain/masking",),
    ),
    Bug(
        "a row is read without its tenant",
        "repository/master_flow.py",
        "                table.client_account_id == self._context.client_account_id,\n"
        "                table.engagement_id == self._context.engagement_id,\n"
        "            )\n            .execution",
        "            )\n            .execution",
        ("tests/integration/repository/test_master_flow.py",),
    ),
    # The law, on a real Postgres
    Bug(
        "a list holds one entry too few",
        "repository/sql/merge_ranked_list.sql",
        "where ranked.place <= 100",
        "where ranked.place < 100",
        (_OTHERS, _LAW),
    ),
)
