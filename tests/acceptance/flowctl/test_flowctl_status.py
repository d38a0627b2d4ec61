import http.server
import json
import threading
from contextlib import contextmanager
from uuid import uuid4

import pytest

from masterflow.status.access.tokens import read_token
from masterflow.status.settings import StatusSettings
from tests.support.processes.status_site import JWT_KEY, PROBE_TOKEN, StatusSite

# -- health api


@pytest.fixture
def site(tmp_path, own_postgres, own_redis):
    with StatusSite(tmp_path, database_url=own_postgres.url, redis_url=own_redis.url) as site:
        yield site


@pytest.fixture
def probe_token(monkeypatch):
    monkeypatch.setenv("ENRICHMENT_STATUS_PROBE_TOKEN", PROBE_TOKEN)


def results(flowctl, *arguments):
    code, said, _ = flowctl("health", "api", *arguments, "--json")
    return code, json.loads(said)


def test_the_api_says_what_it_needs_and_lacks(flowctl, site, own_postgres, own_redis, probe_token):
    port = site.url.rpartition(":")[2]
    assert results(flowctl, "--url", site.url) == (0, {"alive": "ok", "ready": "ok"})
    code, said, _ = flowctl("health", "api", "--port", port)
    assert (code, said.count("✔ well")) == (0, 2)
    own_postgres.stop()
    code, found = results(flowctl, "--port", port)
    assert (code, found["alive"]) == (3, "ok")
    assert found["ready"].startswith("Postgres is not available for now")
    own_redis.stop()
    code, said, _ = flowctl("health", "api", "--port", port)
    assert code == 3
    assert "Redis does not answer" in " ".join(said.split())
    assert results(flowctl, "--port", port, "--live") == (0, {"alive": "ok"})
    site.process.stop()
    code, found = results(flowctl, "--port", port, "--live")
    assert code == 3
    assert "does not answer at http://127.0.0.1" in found["alive"]
    assert found["alive"].endswith("or name another address.")


def test_a_wrong_probe_token_is_named_as_such(flowctl, site, monkeypatch):
    monkeypatch.setenv("ENRICHMENT_STATUS_PROBE_TOKEN", "another token that is long")
    code, found = results(flowctl, "--url", site.url)
    assert (code, found["alive"]) == (1, "ok")
    assert found["ready"].startswith("The API does not know the probe token; pass ENRICHMENT_STATUS_PROBE")


def test_without_a_probe_token_readiness_is_not_guessed(flowctl):
    code, said, complaint = flowctl("health", "api")
    assert (code, said) == (2, "")
    assert complaint.startswith("Set ENRICHMENT_STATUS_PROBE_TOKEN")


def test_what_is_no_address_is_a_misuse(flowctl, probe_token):
    for url in ("localhost:8000", "file:///etc/passwd", "http://"):
        code, _, complaint = flowctl("health", "api", "--url", url)
        assert (code, complaint.count("\n")) == (2, 1)


class Impostor(http.server.ThreadingHTTPServer):
    """Sends whoever asks for readiness to another place, and greets the others."""

    def __init__(self, greeting):
        super().__init__(("127.0.0.1", 0), Reception)
        self.asked, self.greeting = [], greeting


class Reception(http.server.BaseHTTPRequestHandler):
    server: Impostor

    def do_GET(self):
        if self.path == "/health/ready":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()
            return
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.greeting)

    def log_message(self, *_):
        pass


@contextmanager
def impostor(greeting):
    with Impostor(greeting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_who_answers_in_its_place_is_not_taken_for_it(flowctl, probe_token):
    with impostor(b"hello") as server:
        code, found = results(flowctl, "--port", server.server_port)
    assert code == 1
    assert found["alive"].endswith("is no status API; name its address with --url or --port.")


def test_the_probe_token_follows_no_redirect_and_no_proxy(flowctl, probe_token, monkeypatch):
    with impostor(b"alive\n") as server, impostor(b"") as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        code, found = results(flowctl, "--port", server.server_port)
        assert server.asked == [("/health/live", None)]
        assert proxy.asked == []
    assert (code, found["ready"]) == (1, "The API answers with status 302; look at its log.")


# -- tokens


@pytest.fixture
def jwt_key(monkeypatch):
    monkeypatch.setenv("ENRICHMENT_JWT_KEY", JWT_KEY)


def test_a_token_lets_in_whom_it_names(flowctl, jwt_key):
    client, engagements = uuid4(), [uuid4(), uuid4()]
    options = ["--client", client, "--user", "ann"]
    for engagement in engagements:
        options += ["--engagement", engagement]
    code, said, _ = flowctl("token", *options, "--lifetime", "120")
    viewer = read_token(said.strip(), StatusSettings())
    assert code == 0
    assert (viewer.client_account_id, viewer.engagement_ids) == (client, frozenset(engagements))
    assert viewer.user_id == "ann"
    assert 60 < viewer.expires_in_s <= 120
    found = json.loads(flowctl("token", *options, "--json")[1])
    assert found.keys() == {"token", "expires_at"}
    assert read_token(found["token"], StatusSettings()).expires_in_s > 3000
    assert not viewer.may_control
    controller = flowctl("token", *options, "--control")[1].strip()
    assert read_token(controller, StatusSettings()).may_control


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({}, "Set ENRICHMENT_JWT_KEY to a secret of at least 32 bytes"),
        (
            {"ENRICHMENT_JWT_ALGORITHM": "RS256", "ENRICHMENT_JWT_KEY": "-----BEGIN PUBLIC KEY-----"},
            "ENRICHMENT_JWT_ALGORITHM is RS256, so ENRICHMENT_JWT_KEY is a public key, which signs nothing;",
        ),
    ],
    ids=["no key", "a public key"],
)
def test_without_a_key_that_signs_there_is_no_token(flowctl, monkeypatch, settings, advice):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, said, complaint = flowctl("token", "--client", uuid4(), "--engagement", uuid4(), "--user", "ann")
    assert (code, said, complaint.count("\n")) == (2, "", 1)
    assert complaint.startswith(advice)


def test_a_token_is_somebodys(flowctl, jwt_key):
    tenant = ["--client", uuid4(), "--engagement", uuid4()]
    assert flowctl("token", *tenant)[0] == 2
    code, said, complaint = flowctl("token", *tenant, "--user", " ")
    assert (code, said) == (2, "")
    assert "user_id" in complaint
    assert flowctl("token", "--client", uuid4(), "--user", "ann")[0] == 2
