import base64
import os
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from masterflow.domain import SettingsInvalid
from masterflow.repository.settings import DatabaseSettings, FlagSettings, RedisSettings

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()


SCHEMES = ["postgresql+psycopg", "postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_database_url_names_our_driver(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://ana:pw@db:5433/flows?sslmode=require")
    url = DatabaseSettings().database_url
    assert (
        url.render_as_string(hide_password=False)
        == "postgresql+psycopg://ana:pw@db:5433/flows?sslmode=require"
    )


@pytest.mark.parametrize(
    ("given", "read"),
    {
        "//db/flows?ssl=require": "//db/flows?sslmode=require",
        "//db/flows?ssl=true": "//db/flows?sslmode=require",
        "//db/flows?ssl=verify-full&sslrootcert=/ca": "//db/flows?sslmode=verify-full&sslrootcert=%2Fca",
        "//db/flows?pgbouncer=true&connection_limit=1&pool_timeout=0&schema=public": "//db/flows",
        "//db/flows?prepared_statement_cache_size=0&command_timeout=60": "//db/flows",
        "//ana:p%40w@one:1,two:2/flows?target_session_attrs=read-write": (
            "//ana:p%40w@/flows?host=one%2Ctwo&port=1%2C2&target_session_attrs=read-write"
        ),
        "//ana@[::1]:1,two/flows": "//ana@/flows?host=%3A%3A1%2Ctwo&port=1%2C5432",
        "//ana@/flows?host=/run/postgresql&port=5433": "//ana@/flows?host=%2Frun%2Fpostgresql&port=5433",
        "//?service=mine": "//?service=mine",
        "//db/flows?options=-csearch_path%3Dapp": "//db/flows?options=-csearch_path%3Dapp",
    }.items(),
)
def test_options_of_other_drivers_are_translated_or_left_out(
    monkeypatch: pytest.MonkeyPatch, given: str, read: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql:{given}")
    url = DatabaseSettings().database_url.render_as_string(hide_password=False)
    assert dict(_parts(url)) == dict(_parts(f"postgresql+psycopg:{read}"))


def _parts(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return parts._asdict() | {"query": sorted(parse_qsl(parts.query))}


@pytest.mark.parametrize(("says", "is_meant"), [("true", True), ("1", True), ("false", False)])
def test_the_url_may_say_that_it_leads_to_pgbouncer(
    monkeypatch: pytest.MonkeyPatch, says: str, is_meant: bool
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://db/flows?pgbouncer={says}")
    assert DatabaseSettings().pgbouncer is is_meant
    monkeypatch.setenv("ENRICHMENT_PGBOUNCER", "false")
    assert not DatabaseSettings().pgbouncer


@pytest.mark.parametrize(
    ("value", "reason"),
    {
        None: "",
        "": "",
        "flows": " (it is no URL)",
        "mysql://db/flows": " (its scheme is another one)",
        '"postgresql://db/flows"': " (it is no URL)",
        "postgresql://db:x/f": " (it is no URL)",
        "postgresql://ana:p@ss@db/f": " (an @ in the password is written as %40)",
        "postgresql://db..example/f": " (its host is malformed)",
        "postgresql://a,b..example/f": " (its host is malformed)",
        "postgresql://db/f?foo=1": " (the option 'foo' is not one of Postgres)",
        "postgresql://db/f?ssl=perhaps": " (ssl is true, false or one of the words of sslmode)",
    }.items(),
)
def test_a_missing_or_malformed_database_url_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, value: str | None, reason: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(SettingsInvalid) as caught:
        DatabaseSettings()
    assert (
        str(caught.value)
        == f"Set DATABASE_URL to postgresql+psycopg://user:password@host:5432/database{reason}."
    )


def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:hunter2@db/flows")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@cache:6379/0")
    monkeypatch.setenv("ENRICHMENT_CACHE_KEYS", KEY)
    shown = f"{DatabaseSettings()!r} {DatabaseSettings()} {RedisSettings()!r} {RedisSettings()}"
    assert "hunter2" not in shown
    assert "cache_keys" not in shown
    monkeypatch.setenv("DATABASE_URL", "mysql://ana:hunter2@db/flows")
    with pytest.raises(SettingsInvalid) as caught:
        DatabaseSettings()
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["LOCK", "STATEMENT", "IDLE", "CONNECT"])
def test_a_wait_of_no_length_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/flows")
    monkeypatch.setenv(f"ENRICHMENT_{name}_TIMEOUT_S", "0")
    with pytest.raises(SettingsInvalid, match=f"^Set ENRICHMENT_{name}_TIMEOUT_S to .*seconds"):
        DatabaseSettings()


@pytest.mark.parametrize(
    ("words", "enabled"),
    [(("true", "1", "yes", "on", "TRUE", "On"), True), (("false", "0", "no", "off", "False"), False)],
)
def test_the_flag_is_read_from_any_of_the_usual_words(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], enabled: bool
) -> None:
    for word in words:
        monkeypatch.setenv("MASTER_STATE_ENRICHMENT_ENABLED", word)
        assert FlagSettings().enrichment_enabled is enabled


def test_enrichment_is_on_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_STATE_ENRICHMENT_ENABLED", raising=False)
    assert FlagSettings().enrichment_enabled is True
    monkeypatch.setenv("MASTER_STATE_ENRICHMENT_ENABLED", "maybe")
    with pytest.raises(SettingsInvalid, match=r"^Set MASTER_STATE_ENRICHMENT_ENABLED to true or false"):
        FlagSettings()


def test_cache_keys_are_a_list_with_or_without_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.urandom(32)
    monkeypatch.setenv(
        "ENRICHMENT_CACHE_KEYS", f" {base64.urlsafe_b64encode(other).decode().rstrip('=')} , {KEY}"
    )
    assert RedisSettings().cache_keys == (other, bytes(range(32)))


def test_there_are_no_cache_keys_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENRICHMENT_CACHE_KEYS", "")
    assert RedisSettings().cache_keys == ()


@pytest.mark.parametrize("value", ["secret", KEY[:-4], KEY + "AAAA", f"{KEY},", "é" * 43, "!" * 43])
def test_a_malformed_cache_key_says_what_a_key_is_and_not_what_it_was(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ENRICHMENT_CACHE_KEYS", value)
    with pytest.raises(SettingsInvalid, match=r"^Set ENRICHMENT_CACHE_KEYS to .*32 random bytes") as caught:
        RedisSettings()
    assert value not in str(caught.value)


def test_a_redis_url_of_another_scheme_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://cache")
    with pytest.raises(SettingsInvalid, match=r"^Set REDIS_URL to redis://"):
        RedisSettings()
