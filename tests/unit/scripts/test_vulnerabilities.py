import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from masterflow.scripts.maintenance.vulnerabilities import (
    FOUND,
    NOT_LOOKED_UP,
    NOTHING_KNOWN,
    LockUnreadable,
    known_vulnerabilities,
    main,
    pinned,
)

LOCK = Path(__file__).parents[3] / "requirements.txt"


class Osv(ThreadingHTTPServer):
    """A database like OSV, as far as it is asked; knows what `known` says, one id a page."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], list[str]] = {}
        self.asked: list[Any] = []
        self.answer: Callable[[Any], tuple[int, bytes]] = self.results
        super().__init__(("127.0.0.1", 0), Asked)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def results(self, question: Any) -> tuple[int, bytes]:
        return 200, json.dumps({"results": [*map(self._result, question["queries"])]}).encode()

    def _result(self, query: Any) -> Any:
        assert query["package"]["ecosystem"] == "PyPI"
        ids = self.known.get((query["package"]["name"], query["version"]), [])
        place = int(query.get("page_token", 0))
        following = {"next_page_token": str(place + 1)} if place + 1 < len(ids) else {}
        return {"vulns": [{"id": ids[place], "modified": "2026-01-01T00:00:00Z"}], **following} if ids else {}


class Asked(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, question))
        status, body = self.server.answer(question)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Osv]:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Osv() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def lock_of(folder: Path, text: str) -> Path:
    lock = folder / "lock.txt"
    lock.write_text(text)
    return lock


def test_every_version_of_our_lock_is_asked_for_and_nothing_else_is_told(
    osv: Osv, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(LOCK), "--database", osv.address]) == NOTHING_KNOWN
    [(path, question)] = osv.asked
    assert path == "/v1/querybatch"
    told = {(it["package"]["name"], it["version"]) for it in question["queries"]}
    assert told == {*pinned(LOCK)}
    assert {tuple(sorted(it)) for it in question["queries"]} == {("package", "version")}
    lines = [
        line for line in LOCK.read_text().splitlines() if "==" in line and not line.startswith((" ", "#"))
    ]
    assert len(told) == len(lines) > 100
    assert f"none among {len(told)} versions" in capsys.readouterr().out


def test_what_is_known_is_named_from_every_page_and_ends_otherwise(
    osv: Osv, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    osv.known = {("old-one", "1.0"): ["PYSEC-2", "GHSA-1", "CVE-3"], ("other", "2"): ["\x1b[2J\nFORGED"]}
    lock = lock_of(
        tmp_path, "Old_One==1.0 ; python_version < '4' # why\nfine[x]==3\nother==2 \\\n --hash=sha256:0\n"
    )
    assert main([str(lock), "--database", osv.address + "/"]) == FOUND
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "old-one 1.0: CVE-3, GHSA-1, PYSEC-2"
    assert second.isprintable()
    assert last.endswith("knows of 2 among 3 versions.")


def test_more_versions_than_one_question_takes_are_asked_in_several(osv: Osv) -> None:
    osv.known = {("p1700", "1"): ["CVE-1"]}
    pins = [(f"p{number}", "1") for number in range(2_500)]
    assert known_vulnerabilities(pins, osv.address, timeout_s=10) == {("p1700", "1"): ["CVE-1"]}
    assert [len(question["queries"]) for _, question in osv.asked] == [1_000, 1_000, 500]


ANSWERS = {
    "an error": (503, b"busy"),
    "no JSON": (200, b"<html>Sign in</html>"),
    "deep": (200, b"[" * 100_000),
    "no UTF-8": (200, b'{"results": "\xff"}'),
    "a list": (200, b"[]"),
    "too few results": (200, b'{"results": []}'),
    "a result that is none": (200, b'{"results": [null]}'),
    "no ids": (200, b'{"results": [{"vulns": [{}]}]}'),
    "vulnerabilities that are none": (200, b'{"results": [{"vulns": null}]}'),
    "no end": (200, b'{"results": [{"next_page_token": "again"}]}'),
    "huge": (200, b" " * 17_000_000 + b"{}"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_usable_answer_is_never_taken_for_no_vulnerability(
    osv: Osv, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: tuple[int, bytes]
) -> None:
    osv.answer = lambda _: answer
    lock = lock_of(tmp_path, "one==1\n")
    assert main([str(lock), "--database", osv.address]) == NOT_LOOKED_UP
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Nothing was looked up: ")
    assert "This says nothing about the 1 versions" in said.err


@pytest.mark.parametrize(
    "database", ["http://127.0.0.1:1", "http://[", "nowhere", "file:///etc", "http://a b"]
)
def test_who_reaches_no_database_is_told_so_and_ends_otherwise(tmp_path: Path, database: str) -> None:
    lock = lock_of(tmp_path, "one==1\n")
    command = [sys.executable, "-m", "masterflow.scripts.maintenance.vulnerabilities", str(lock)]
    done = subprocess.run(
        [*command, "--database", database, "--timeout", "5"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (NOT_LOOKED_UP, "")
    assert done.stderr.startswith("Nothing was looked up: "), done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "one>=1\n", "one==1.*\n", "one\n", "one @ https://x/y\n", "=\n"]
)
def test_a_lock_that_pins_no_version_is_refused_before_anybody_is_asked(
    osv: Osv, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    lock = lock_of(tmp_path, text)
    with pytest.raises(LockUnreadable):
        pinned(lock)
    assert main([str(lock), "--database", osv.address]) == 2
    assert str(lock) in capsys.readouterr().err
    assert main([str(tmp_path / "none.txt"), "--database", osv.address]) == 2
    assert osv.asked == []
