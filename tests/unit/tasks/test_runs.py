from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from masterflow.domain.errors import InputInvalid, SignatureInvalid
from masterflow.tasks.celery.runs import Runs, signed_run

KEYS = {"new": SecretStr("n" * 32), "old": SecretStr("o" * 32)}
NOW = datetime.now(UTC)
NAME = "watch.look"


def test_without_keys_beat_signs_nothing_and_a_worker_takes_all() -> None:
    runs = Runs({})
    assert signed_run(NAME, {}, valid_s=60) == {}
    assert runs.take(NAME, [], {}, now=NOW)
    assert runs.take(NAME, [], {}, now=NOW)
    # From a beat that has the keys already.
    assert runs.take(NAME, [], signed_run(NAME, KEYS, valid_s=60), now=NOW)


@pytest.mark.parametrize("keys", [{}, KEYS])
@pytest.mark.parametrize(("arguments", "kwargs"), [([1], {}), ([], {"x": 1})])
def test_it_takes_no_arguments_but_a_proof(
    keys: dict[str, SecretStr], arguments: list[int], kwargs: dict[str, int]
) -> None:
    with pytest.raises(InputInvalid, match="no such arguments"):
        Runs(keys).take(NAME, arguments, kwargs, now=NOW)


def test_what_the_broker_brings_back_is_neither_done_again_nor_forged() -> None:
    runs, kwargs = Runs(KEYS), signed_run(NAME, KEYS, valid_s=60)
    assert runs.take(NAME, [], kwargs, comes_back=True, now=NOW)
    assert not runs.take(NAME, [], kwargs, comes_back=True, now=NOW)
    with pytest.raises(SignatureInvalid, match="has come before"):
        runs.take(NAME, [], kwargs, now=NOW)


def test_a_key_that_is_on_its_way_out_counts_still() -> None:
    older = {"old": KEYS["old"]}
    assert Runs(KEYS).take(NAME, [], signed_run(NAME, older, valid_s=60), now=NOW)
    with pytest.raises(SignatureInvalid, match="not known here"):
        Runs(older).take(NAME, [], signed_run(NAME, KEYS, valid_s=60), now=NOW)


@pytest.mark.parametrize(("late_s", "is_taken"), [(350, True), (370, False)])
def test_clocks_may_be_five_minutes_apart(late_s: float, is_taken: bool) -> None:
    kwargs, late = signed_run(NAME, KEYS, valid_s=60), datetime.now(UTC) + timedelta(seconds=late_s)
    if is_taken:
        assert Runs(KEYS).take(NAME, [], kwargs, now=late)
    else:
        with pytest.raises(SignatureInvalid, match="is over"):
            Runs(KEYS).take(NAME, [], kwargs, now=late)


def test_it_remembers_what_could_come_again_and_no_more() -> None:
    runs = Runs(KEYS)
    for seconds in range(1, 50):
        runs.take(NAME, [], signed_run(NAME, KEYS, valid_s=seconds), now=NOW)
    assert len(runs._taken) == 49
    runs.take(NAME, [], signed_run(NAME, KEYS, valid_s=9_000), now=NOW + timedelta(hours=2))
    assert len(runs._taken) == 1
