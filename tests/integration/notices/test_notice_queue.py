"""What waits for a receiver in Redis: whoever dies, refuses or floods costs no notice but its own."""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from masterflow.domain.redis_keys import notices_key
from masterflow.scripts.flowctl import main
from masterflow.tasks.celery.places import Places
from masterflow.tasks.counters import read_counters
from masterflow.tasks.enqueue import QueueSettings, redis_client
from masterflow.tasks.notices import queue as queues
from masterflow.tasks.notices.notice import Notice
from masterflow.tasks.notices.post import Postman
from masterflow.tasks.notices.queue import HASHES, INTENDED, LEASE, SORTED_SETS, TRIED_FOR_S, NoticeQueue
from masterflow.tasks.notices.receivers import NoticeSettings
from tests.support.servers.receivers import WebReceiver, web_receiver

NOW_S = 1_700_000_000.0
KEYS = json.dumps({"one": "w" * 32})
HOOK = {
    "name": "pager",
    "kind": "webhook",
    "events": ["failed"],
    "secrets": [f"whsec_{base64.b64encode(b'k' * 32).decode()}"],
}


@pytest.fixture(scope="module")
def web() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def pager(web: WebReceiver, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> WebReceiver:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("ENRICHMENT_WORKER_KEYS", KEYS)
    monkeypatch.setenv("ENRICHMENT_NOTICES", json.dumps([HOOK | {"url": web.url}]))
    web.status = 204
    web.taken.clear()
    return web


@pytest.fixture
def queue(pager: WebReceiver) -> NoticeQueue:
    settings = QueueSettings()
    return NoticeQueue(redis_client(settings), settings.worker_keys)


def postman() -> Postman:
    [receiver] = NoticeSettings().receivers
    return Postman(receiver, QueueSettings())


def turn() -> float:
    return postman().turn(threading.Event())


def notices(count: int) -> list[Notice]:
    ids = [uuid4() for _ in range(4)]
    return [
        Notice(
            id=UUID(int=number),
            event="failed",
            at=datetime(2026, 11, 28, tzinfo=UTC),
            flow_id=ids[0],
            client_account_id=ids[1],
            engagement_id=ids[2],
            flow_type="discovery",
        )
        for number in range(count)
    ]


def add(queue: NoticeQueue, count: int) -> None:
    for number, notice in enumerate(notices(count)):
        queue.add("pager", [notice], now_s=NOW_S - 10_000 + number)


def numbers(entries: list[Any]) -> list[int]:
    return [one.notice.id.int for one in entries]


def counted() -> dict[str, float]:
    found = read_counters(redis_client(QueueSettings()))
    return {name.removeprefix("notices:"): n for name, n in found.items() if name.startswith("notices:")}


def counted_as_forged() -> float:
    return read_counters(redis_client(QueueSettings())).get("forged:key", 0)


def test_who_is_killed_behind_the_answer_leaves_it_to_be_told_again_under_its_id(queue, pager, monkeypatch):
    add(queue, 1)
    with monkeypatch.context() as patch:
        patch.setattr(NoticeQueue, "told", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            turn()
    turn()
    assert [one.headers["webhook-id"] for one in pager.taken] == [str(UUID(int=0))] * 2
    assert queue.read("waiting", "pager") == []
    turn()
    assert len(pager.taken) == 2


def test_one_process_tells_a_receiver_and_the_next_does_when_it_lets_go(queue, pager):
    add(queue, 1)
    assert queue.lease("pager")
    turn()
    assert pager.taken == []
    queue.release("pager")
    turn()
    assert len(pager.taken) == 1


def test_a_notice_that_is_handed_over_again_is_told_once(queue, pager):
    for _ in range(3):
        add(queue, 2)
        turn()
    assert len(pager.taken) == 2


def test_what_is_refused_stands_in_no_other_ones_way_and_a_server_that_is_away_is_left_alone(queue, pager):
    add(queue, 3)
    pager.status = 400
    turn()
    assert len(pager.taken) == 3
    queue.add("pager", [one.model_copy(update={"id": uuid4()}) for one in notices(3)], now_s=NOW_S)
    pager.status = 503
    turn()
    assert len(pager.taken) == 4
    assert counted() == {"failed": 4}


def test_what_is_gone_is_dead_at_once_and_all_else_after_a_day_in_vain(queue, pager):
    add(queue, 2)
    pager.status = 410
    turn()
    assert numbers(queue.read("dead", "pager")) == [0, 1]
    queue.replay("pager")
    [first, second] = queue.read("waiting", "pager")
    for entry, tried_s in ((first, TRIED_FOR_S - 1), (second, TRIED_FOR_S + 1)):
        queue.failed("pager", entry, "busy", now_s=NOW_S)
        [tried] = [one for one in queue.read("waiting", "pager") if one.notice.id == entry.notice.id]
        queue.failed("pager", tried, "busy", now_s=NOW_S + tried_s)
    assert numbers(queue.read("waiting", "pager")) == [0]
    assert [one.tries for one in queue.read("dead", "pager")] == [2]


def test_the_newest_stay_where_there_are_too_many_and_the_others_are_counted(queue, monkeypatch):
    monkeypatch.setattr(queues, "MOST_WAITING", 3)
    monkeypatch.setattr(queues, "_MOST_KNOWN", 4)
    monkeypatch.setattr(queues, "MOST_DEAD", 2)
    add(queue, 6)
    assert numbers(queue.read("waiting", "pager")) == [3, 4, 5]
    assert counted() == {"dropped": 3}
    redis = redis_client(QueueSettings())
    assert (
        redis.hlen("enrichment:notices:known:pager") == redis.zcard("enrichment:notices:known_at:pager") == 4
    )
    for entry in queue.read("waiting", "pager"):
        queue.failed("pager", entry, "gone", now_s=NOW_S + entry.notice.id.int, is_final=True)
    assert numbers(queue.read("dead", "pager")) == [4, 5]
    assert counted() == {"dropped": 4, "failed": 3, "dead": 3}


def test_the_longest_notice_takes_no_more_than_it_may(queue):
    longest = dict.fromkeys(("flow_name", "phase"), "💩" * 200)
    longest |= {"detail": "\N{PILE OF POO}" * 500}
    queue.add("pager", [notices(1)[0].model_copy(update=longest)], now_s=NOW_S)
    size: Any = redis_client(QueueSettings()).hstrlen(notices_key("waiting", "pager"), str(UUID(int=0)))
    assert 3_600 < size < 4_800
    assert len(queue.read("waiting", "pager")) == 1


def test_what_lies_in_the_place_of_a_key_is_removed_and_so_is_a_lease_that_never_ends(queue, pager):
    redis, places = redis_client(QueueSettings()), Places.of(QueueSettings())
    add(queue, 1)
    for name in (*HASHES, *SORTED_SETS):
        redis.delete(notices_key(name, "pager"))
        redis.set(notices_key(name, "pager"), "planted")
    redis.set(notices_key(INTENDED), "planted")
    redis.set(notices_key(LEASE, "pager"), "planted")
    places.put_right(now_s=0)
    assert counted_as_forged() == 7
    add(queue, 1)
    turn()
    assert pager.taken == []
    places.put_right(now_s=91)
    turn()
    assert len(pager.taken) == 1
    assert counted_as_forged() == 8


def test_the_lease_of_one_who_tells_for_long_is_not_taken_for_one_that_never_ends(queue):
    places = Places.of(QueueSettings())
    for now_s in range(0, 300, 30):
        assert queue.lease("pager")
        places.put_right(now_s=now_s)
    assert counted_as_forged() == 0


def test_flowctl_shows_replays_and_drops_what_was_never_taken_and_tries_receivers(
    queue, pager, monkeypatch, capsys
):
    def flowctl(*arguments: str) -> Any:
        monkeypatch.setattr("sys.argv", ["flowctl", "notices", *arguments, "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code or 0, json.loads(said.out) if said.out else said.err

    add(queue, 2)
    pager.status = 410
    turn()
    _, [first, _] = flowctl("list")
    assert (first["receiver"], first["tries"], first["error"]) == ("pager", 1, "it answered 410")
    assert first["notice"]["event"] == "failed"
    code, said = flowctl("replay")
    assert code != 0
    assert "--receiver or --notice, or --all" in said
    assert flowctl("replay", "--notice", first["notice"]["id"]) == (0, {"replayed": 1})
    assert numbers(queue.read("waiting", "pager")) == [0]
    assert flowctl("drop", "--all") == (0, {"dropped": 1})
    assert queue.read("dead", "pager") == []
    code, [answer] = flowctl("test")
    assert (code, answer["error"]) == (1, "it answered 410")
    pager.status = 200
    assert flowctl("test", "pager")[0] == 0
    assert pager.taken[-1].json["data"]["is_test"] is True
    assert "very-secret-key" not in json.dumps(answer)
    assert flowctl("test", "nobody")[0] != 0
    assert flowctl("secret")[1]["secret"].startswith("whsec_")
