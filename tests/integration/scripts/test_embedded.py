import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from masterflow.scripts.embedded import EmbeddedPostgres, EmbeddedRedis, ServerNotReady
from masterflow.scripts.embedded import postgres as embedded_postgres
from masterflow.scripts.embedded import redis as embedded_redis
from masterflow.scripts.embedded.unprivileged import unprivileged_user
from masterflow.scripts.supervise.processes import SupervisedProcess
from tests.support.eventually import eventually


@pytest.fixture
def folder(server_folder):
    """A folder that Postgres can reach too when tests run as root, with a space in its name."""
    folder = server_folder / "of one test"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_postgres(folder, server_folder):
    """What makes a server that needs no initdb and is removed after the test."""
    servers = []

    def make(**options):
        servers.append(EmbeddedPostgres(folder / "postgres", template=server_folder / "template", **options))
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def postgres(make_postgres):
    with make_postgres(durable=False) as server:
        yield server


def query(server, statement):
    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def client_of(server):
    return redis.Redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0))


def test_postgres_listens_on_its_socket_alone(postgres):
    assert query(postgres, "show listen_addresses") == [("",)]
    assert urlsplit(postgres.url).hostname is None


def test_postgres_on_a_port_wants_the_password(make_postgres):
    with make_postgres(tcp=True) as server:
        assert query(server, "select 1") == [(1,)]
        port = urlsplit(server.url).port
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=flows password=guess")


def test_postgres_is_never_root(postgres):
    assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


def test_postgres_keeps_its_data_and_address_whatever_happens(own_postgres):
    address = own_postgres.url
    query(own_postgres, "create table fact (n int)")
    query(own_postgres, "insert into fact values (1)")
    own_postgres.restart()
    query(own_postgres, "insert into fact values (2)")
    own_postgres.restart_immediate()
    query(own_postgres, "insert into fact values (3)")
    own_postgres.kill()
    own_postgres.start()
    assert own_postgres.url == address
    assert query(own_postgres, "select n from fact order by n") == [(1,), (2,), (3,)]


def test_postgres_starts_on_what_a_killed_program_left(make_postgres):
    server = make_postgres()
    program = (
        "import os; from pathlib import Path; from masterflow.scripts.embedded import EmbeddedPostgres;"
        f"server = EmbeddedPostgres(Path({str(server.folder)!r}));"
        "server.start(); print(server.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    with server:
        assert not Path(f"/proc/{int(done.stdout)}").exists()
        assert query(server, "select 1") == [(1,)]


def test_postgres_minds_no_pid_file_whose_pid_is_somebody_elses_now(make_postgres):
    server = make_postgres()
    with server:
        data = Path(query(server, "show data_directory")[0][0])
        rest = (data / "postmaster.pid").read_text().splitlines()[1:]
    with SupervisedProcess(["sleep", "1000"], user=unprivileged_user()) as somebody_else:
        (data / "postmaster.pid").write_text("\n".join([str(somebody_else.pid), *rest]))
        with server:
            assert query(server, "select 1") == [(1,)]


def test_a_paused_postgres_hangs_and_goes_on(postgres):
    def answers(timeout_s):
        return bool(select.select([connection], [], [], timeout_s)[0])

    with closing(psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True)) as connection:
        postgres.pause()
        connection.pgconn.send_query(b"select 1")
        assert not answers(0.2)
        postgres.resume()
        assert answers(10)


def test_one_folder_is_one_servers(postgres, monkeypatch):
    monkeypatch.setattr(EmbeddedPostgres, "start_timeout_s", 0.1)
    with pytest.raises(ServerNotReady, match="Another Postgres still uses"):
        EmbeddedPostgres(postgres.folder).start()


def test_a_postgres_that_cannot_start_says_why(make_postgres):
    server = make_postgres()
    with server:
        data = Path(query(server, "show data_directory")[0][0])
    (data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(ServerNotReady, match=r"Postgres did not start; .*server\.log ends with: .*9\.6"):
        server.start()


def test_a_folder_that_cannot_be_made_is_said_so_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    for server in (EmbeddedPostgres(tmp_path / "file" / "below"), EmbeddedRedis(tmp_path / "file" / "below")):
        with pytest.raises(ServerNotReady, match=r"cannot use .*Not a directory"):
            server.start()


def test_postgres_runs_for_root_below_folders_that_only_root_may_enter(tmp_path):
    tmp_path.chmod(0o700)
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        query(server, "create table fact (n int)")
        server.restart()
        assert query(server, "select n from fact") == []
    server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has programs that Postgres cannot reach")
def test_postgres_runs_for_root_with_programs_that_only_root_may_enter(folder, monkeypatch):
    monkeypatch.setattr(embedded_postgres, "is_reachable", lambda path, _user: path.name != "postgres")
    with EmbeddedPostgres(folder / "data", durable=False) as server:
        assert "/enrichment-" in str(Path(f"/proc/{server.pid}/exe").readlink())
    server.remove()


def test_postgres_15_of_debian_works_too(folder, debian_package):
    program = debian_package("postgresql-15", "/usr/lib/postgresql/15/bin/postgres")
    with EmbeddedPostgres(folder / "postgres", programs=program.parent, durable=False) as server:
        assert query(server, "show server_version_num")[0][0].startswith("15")
    server.remove()


def test_nothing_of_a_removed_server_is_left(make_postgres):
    server = make_postgres()
    with server:
        sockets = Path(urlsplit(server.url).query.removeprefix("host="))
        assert sockets.exists()
    server.remove()
    assert not sockets.parent.exists()
    assert not server.folder.exists()


def test_redis_wants_its_password(own_redis):
    with client_of(own_redis) as client:
        client.connection_pool.connection_kwargs["password"] = "guess"
        with pytest.raises(redis.AuthenticationError):
            client.ping()


def test_redis_never_evicts_and_writes_what_it_is_told_to_its_log(own_redis):
    with client_of(own_redis) as client:
        settings = client.config_get("*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "everysec")
    assert settings["bind"] == "127.0.0.1"


@pytest.mark.parametrize("fault", ["restart", "kill"])
def test_redis_keeps_its_data_and_address(fault, own_redis):
    address = own_redis.url
    with client_of(own_redis) as client:
        client.set("fact", "1")
    getattr(own_redis, fault)()
    if fault == "kill":
        own_redis.start()
    assert own_redis.url == address
    with client_of(own_redis) as client:
        assert client.get("fact") == b"1"


def test_a_paused_redis_hangs_and_goes_on(own_redis):
    with client_of(own_redis) as client:
        client.ping()
        own_redis.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        own_redis.resume()
        assert eventually(client.ping)


def test_a_redis_whose_port_is_taken_says_so(own_redis):
    own_redis.stop()
    with (
        socket.create_server(("127.0.0.1", urlsplit(own_redis.url).port)),
        pytest.raises(ServerNotReady, match="Address already in use"),
    ):
        own_redis.start()


def test_a_machine_without_redis_hears_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded_redis, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotReady, match=r"install one .* or name one with REDIS_URL"):
        EmbeddedRedis(tmp_path)
