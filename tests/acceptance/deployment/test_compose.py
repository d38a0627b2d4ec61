import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis, RedisError
from redis.exceptions import NoPermissionError

from masterflow.domain.redis_keys import FLAG_KEY, queue_key
from masterflow.scripts.supervise.ports import free_port
from masterflow.scripts.supervise.processes import SupervisedProcess
from masterflow.status.settings import StatusSettings
from masterflow.tasks.batch import Batch
from masterflow.tasks.enqueue import (
    Awaited,
    ConfirmationInbox,
    Publisher,
    QueueSettings,
    queue_lengths,
    redis_client,
)
from masterflow.tasks.queues import ENRICHMENT_QUEUE
from masterflow.tasks.rights.roles import ROLES, backend_role
from tests.support.eventually import eventually
from tests.unit.pages.test_env_example import NAMES

ROOT = Path(__file__).parents[3]
DEBIAN_REDIS = Path("/usr/bin/redis-server")
FILE = ROOT / "docker-compose.yml"
OURS = ("tables", "worker", "beat", "flower", "backend")
USERS = ("worker", "beat", "flower", "backend")
SECRETS = {
    "POSTGRES_PASSWORD": "the-postgres-password",
    "REDIS_PASSWORD": "the-redis-password",
    **{f"REDIS_{name.upper()}_PASSWORD": f"the-password-of-{name}" for name in USERS},
    "FLOWER_BASIC_AUTH": "flower:the-flower-password",
    "ENRICHMENT_JWT_KEY": "a-key-of-the-tests-that-is-long-enough",
    "ENRICHMENT_STATUS_PROBE_TOKEN": "the-probe-token-of-the-tests",
}
# Only an orchestrator has an outbox, and the image says where.
SET_BY_IMAGE = {"ENRICHMENT_SPOOL_DIR"}
AS_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


@pytest.fixture(scope="module")
def compose(debian_package, tmp_path_factory):
    """What renders docker-compose.yml with a Compose 1.29, and returns its exit code, output and errors."""
    program = debian_package("docker-compose", "docker-compose")
    folder = tmp_path_factory.mktemp("no-env-file")

    def render(**environment):
        command = [program, "--project-directory", folder, "--file", FILE, "config"]
        done = subprocess.run(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    return render


@pytest.fixture(scope="module")
def rendered(compose, debian_package):
    code, text, complaint = compose(**SECRETS)
    assert (code, complaint) == (0, "")
    program = debian_package("docker-compose", "docker-compose")
    interpreter = program.read_text().partition("\n")[0].removeprefix("#!")
    done = subprocess.run(
        [interpreter, "-c", AS_JSON], input=text, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def services(rendered):
    return rendered["services"]


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_nothing_starts_and_it_says_what_to_do(compose, missing):
    code, _, complaint = compose(**{name: value for name, value in SECRETS.items() if name != missing})
    assert code == 1
    assert complaint.strip().endswith("Run ./scripts/make-env, which makes the secrets.")
    assert "the-" not in complaint


def test_an_empty_secret_is_none(compose):
    assert compose(**(SECRETS | {"REDIS_PASSWORD": ""}))[0] == 1


def test_every_part_of_the_system_is_there(services):
    assert services.keys() == {*OURS, "postgres", "redis"}
    assert services["backend"]["container_name"] == "migration_backend"
    # Only one, so that workers can be scaled.
    assert [name for name in services if "container_name" in services[name]] == ["backend"]


def test_no_image_is_the_latest_and_ours_have_the_projects_version(services):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in services.items():
        tag = service["image"].partition(":")[2]
        assert tag == version if name in OURS else re.match(r"\d", tag), name
    assert services["backend"]["build"]["target"] == "tests"
    assert {services[name]["build"]["target"] for name in OURS if name != "backend"} == {"runtime"}


def test_no_service_is_root_or_can_write_to_its_image(services):
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert name in OURS or service["user"] == name
        assert "privileged" not in service
        assert "user" not in service or service["user"] != "root"


def test_every_lasting_service_has_a_health_check_and_comes_back(services):
    for name, service in services.items():
        if name == "tables":
            continue
        assert service["restart"] == "unless-stopped", name
        check = service["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert check["interval"]
    assert services["worker"]["healthcheck"]["test"] == ["CMD", "flowctl", "health", "worker"]
    assert services["beat"]["healthcheck"]["test"] == ["CMD", "flowctl", "health", "beat"]
    assert services["backend"]["healthcheck"]["test"] == ["CMD", "flowctl", "health", "api"]


def test_the_tables_are_made_before_anything_uses_them(services):
    assert services["tables"]["command"] == ["flowctl", "init-db"]
    assert services["tables"]["restart"] == "on-failure"
    for name in ("worker", "backend"):
        assert services[name]["depends_on"] == {
            "redis": {"condition": "service_healthy"},
            "tables": {"condition": "service_completed_successfully"},
        }


def test_redis_keeps_what_it_took_is_bounded_and_evicts_nothing(services):
    command = services["redis"]["command"][-1]
    for line in ("appendonly yes", "appendfsync everysec", "maxmemory 256mb", "maxmemory-policy noeviction"):
        assert f"{line}\n" in command
    # Its password is in its environment and in no list of processes.
    assert "the-redis-password" not in command
    assert "requirepass $$REDISCLI_AUTH\n" in command
    assert services["redis"]["environment"] == {
        "REDISCLI_AUTH": "the-redis-password",
        **{f"REDIS_{name.upper()}_PASSWORD": f"the-password-of-{name}" for name in USERS},
    }


def test_each_user_of_redis_may_do_what_its_role_does_and_nothing_else(services):
    command = services["redis"]["command"][-1]
    users = dict(re.findall(r"^user (\w+) on (.+)$", command, re.MULTILINE))
    rules = {**{name: ROLES[name].rules for name in USERS[:3]}, "backend": backend_role("backend").rules}
    assert users == {name: f">$$REDIS_{name.upper()}_PASSWORD {' '.join(it)}" for name, it in rules.items()}
    for name in USERS:
        url = services[name]["environment"]["REDIS_URL"]
        assert url == f"redis://{name}:the-password-of-{name}@redis:6379/0"


def test_redis_takes_that_configuration(services, tmp_path):
    if not DEBIAN_REDIS.exists():
        pytest.skip("This needs a Redis 7, as of the Debian package redis-server.")
    _, _, rest = services["redis"]["command"][-1].partition("<<END\n")
    text = rest.partition("END\n")[0].replace("$$", "$")
    port = free_port()
    for name in USERS:
        text = text.replace(f"$REDIS_{name.upper()}_PASSWORD", f"the-password-of-{name}")
    text = text.replace("$REDISCLI_AUTH", SECRETS["REDIS_PASSWORD"])
    config = tmp_path / "redis.conf"
    config.write_text(f"{text}\nport {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    with SupervisedProcess([DEBIAN_REDIS, config], folder=tmp_path, log=tmp_path / "log", env={}):
        url = f"redis://backend:the-password-of-backend@127.0.0.1:{port}/0"
        settings = QueueSettings.model_validate({"REDIS_URL": url})
        eventually(lambda: is_there(url), timeout_s=20)
        # What is an API and an orchestrator at once publishes, hears of its own batches, and takes nothing.
        publisher, inbox = Publisher(settings), ConfirmationInbox(settings, "sender")
        publisher.publish(
            Batch(batch_id=str(uuid4()), sender_id="sender", client_account_id=str(uuid4()), events="[]")
        )
        assert inbox.receive([Awaited("b", str(uuid4()), ("sender",), lambda _: None)]) == {}
        inbox.note_backlog({"events": 0, "bytes": 0, "lost": 0, "oldest_at": None})
        assert queue_lengths(settings)[ENRICHMENT_QUEUE] == 1
        with redis_client(settings) as client:
            for command in (["LPOP", queue_key(ENRICHMENT_QUEUE)], ["SET", FLAG_KEY, "off"], ["FLUSHALL"]):
                with pytest.raises(NoPermissionError):
                    client.execute_command(*command)


def is_there(url):
    try:
        with Redis.from_url(url) as client:
            return client.ping()
    except RedisError:
        return False


def test_what_has_to_last_is_on_a_volume(rendered):
    mounts = {
        name: service["volumes"] for name, service in rendered["services"].items() if "volumes" in service
    }
    assert mounts == {
        "postgres": ["postgres:/var/lib/postgresql:rw"],
        "redis": ["redis:/data:rw"],
        "backend": ["spool:/var/lib/flow-enrichment:rw"],
    }
    assert rendered["volumes"].keys() == {"postgres", "redis", "spool"}


def test_nothing_is_published_beyond_this_host_and_no_server_at_all(services):
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"flower": ["127.0.0.1:5555:5555/tcp"], "backend": ["127.0.0.1:8000:8000/tcp"]}


def test_no_service_gets_a_secret_it_has_no_use_for(services):
    holders = {
        secret: {name for name, service in services.items() if secret_of(service, value)}
        for secret, value in SECRETS.items()
    }
    assert holders == {
        "POSTGRES_PASSWORD": {"postgres", "tables", "worker", "backend"},
        # Of the backend, its tests have it.
        "REDIS_PASSWORD": {"redis", "backend"},
        **{f"REDIS_{name.upper()}_PASSWORD": {"redis", name} for name in USERS},
        "FLOWER_BASIC_AUTH": {"flower"},
        "ENRICHMENT_JWT_KEY": {"backend"},
        "ENRICHMENT_STATUS_PROBE_TOKEN": {"backend"},
    }


def secret_of(service, value):
    return any(value in str(given) for given in service.get("environment", {}).values())


def test_every_setting_of_the_project_is_passed_on_by_some_service(services):
    passed = {name for service in services.values() for name in service.get("environment", {})}
    assert NAMES - passed == SET_BY_IMAGE


def test_a_setting_of_the_environment_reaches_the_worker(compose):
    code, text, _ = compose(**SECRETS, ENRICHMENT_FLOW_GRACE_S="7")
    assert code == 0
    assert text.count("ENRICHMENT_FLOW_GRACE_S: '7'") >= 1


def test_the_tests_get_a_redis_database_of_their_own(services):
    environment = services["backend"]["environment"]
    assert environment["TEST_REDIS_URL"] == "redis://:the-redis-password@redis:6379/1"


def test_only_what_compose_1_and_2_both_understand_is_used(rendered):
    text = FILE.read_text()
    top = re.findall(r"^([\w-]+):", text, re.MULTILINE)
    assert [name for name in top if not name.startswith("x-")] == ["services", "volumes"]
    assert not re.search(
        r"^ +(develop|profiles|include|extends|configs|post_start|required):", text, re.MULTILINE
    )


def test_no_setting_is_passed_on_twice_which_only_compose_1_would_overlook():
    blocks = re.split(r"^(?:  )?[\w-]+:", FILE.read_text(), flags=re.MULTILINE)
    for block in blocks:
        names = re.findall(r"^ +([A-Z_]+):", block, re.MULTILINE)
        assert len(names) == len(set(names))


def test_the_example_secrets_of_this_test_are_ones_the_status_api_takes():
    assert StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": SECRETS["ENRICHMENT_JWT_KEY"]})
