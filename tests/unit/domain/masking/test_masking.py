import json
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterflow.domain.payload.masking import (
    MASK,
    _read,
    _suspicion,
    is_secret_key,
    mask_text,
    may_hold_secret,
)
from masterflow.domain.payload.safe import safe_object, safe_text


def connect(message):
    raise ConnectionError(message)


def fake(*parts: str) -> str:
    """Join a made-up secret, which scanners of repositories must not take for a real one."""
    return "".join(parts)


LETTERS = "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAcF2hJ4"
PEM_BODY = fake("MIIEvQIBADANBgkq", "hkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIB", "AQC7VJTUt9Us8cKj")
JWT = fake("eyJ", "hbGciOiJIUzI1NiJ9.eyJ", "zdWIiOiIxMjM0NSJ9.", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r")
PASSWORD = fake("hunter", "2-Zx")

# What stands around a secret, and the secret.
SECRETS = {
    "aws access key": ("denied for {}", fake("AKIA", "IOSFODNN7EXAMPLE")),
    "aws temporary key": ("denied for {}.", fake("ASIA", "Y34FZKBOKMUTVV7A")),
    "aws secret in an environment": ("AWS_SECRET_ACCESS_KEY={} x=1", fake("wJalrXUtn", "FEMI/K7MDENG/bPx")),
    "aws secret in an ini file": (
        "[default]\naws_secret_access_key = {}\n",
        fake("wJalrXUtn", "FEMI/K7MDENG/bPx"),
    ),
    "google api key": ("https://maps/x?key={}", fake("AIza", "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY")),
    "google oauth token": ("{} expired", fake("ya29.", "a0AfH6SMBx-", LETTERS)),
    "azure account key": ("AccountName=a;AccountKey={};EndpointSuffix=b", fake("Zm9vYmFy", "+/8xx==")),
    "azure shared access signature": ("https://a.b/c?sv=2022&sig={}&se=1", fake("Kx%2B", LETTERS, "%3D")),
    "azure client secret": ("app {}", fake("abc8Q~", LETTERS)),
    "github token": ("remote: {}", fake("ghp_", LETTERS)),
    "github fine-grained token": ("remote: {}", fake("github_pat_", LETTERS[:22], "_", LETTERS)),
    "gitlab token": ("remote: {}", fake("glpat-", LETTERS[:20])),
    "slack token": ("{} revoked", fake("xoxb-", "123456789012-", LETTERS)),
    "slack webhook": ("POST https://hooks.slack.com/services/{}", fake("T00000000/B00000000/", LETTERS)),
    "stripe key": ("Invalid API Key provided: {}", fake("sk_live_", LETTERS)),
    "openai key": ("Incorrect API key provided: {}.", fake("sk-", LETTERS, LETTERS)),
    "openai project key": ("with {}", fake("sk-proj-", LETTERS)),
    "anthropic key": ("with {}", fake("sk-ant-api03-", LETTERS)),
    "hugging face token": ("with {}", fake("hf_", LETTERS)),
    "npm token": ("//registry/:_authToken {}", fake("npm_", LETTERS)),
    "pypi token": ("with {}", fake("pypi-", "AgEIcHlwaS5vcmc", LETTERS)),
    "sendgrid key": ("with {}", fake("SG.", LETTERS[:22], ".", LETTERS)),
    "vault token": ("with {}", fake("hvs.", LETTERS)),
    "jwt": ("claims of {} are old", JWT),
    "jwt whose end is cut off": ("claims of {}", JWT[:50]),
    "bearer header": ("Authorization: Bearer {}", fake("opaque", "0123456789")),
    "bearer without a header": ("sent Bearer {} upstream", fake("opaque", "0123456789")),
    "basic header": ("authorization: Basic {}", fake("dXNlcjpw", "YXNzd29yZA==")),
    "basic without a header": ("sent Basic {} upstream", fake("dXNlcjpw", "YXNzd29yZA==")),
    "header in a repr": ("{{'Authorization': 'Bearer {}'}}", fake("opa", "que")),
    "header in a command": ("curl -H 'X-Api-Key: {}' https://a.b", PASSWORD),
    "postgres url": ("postgresql+psycopg://app:{}@db.example.com:5432/app", PASSWORD),
    "password with an at sign": ("postgresql://app:{}@db.example.com/app", fake("p@", "ss")),
    "password with a slash": ("amqp://app:{}@mq/vhost", fake("p/a", "ss")),
    "redis url without a user": ("redis://:{}@cache:6379/0", PASSWORD),
    "token in a git url": ("https://oauth2:{}@git.example.com/x.git", PASSWORD),
    "query string": ("GET /login?user=bob&password={}&next=/", PASSWORD),
    "json": ('{{"user": "bob", "password": "{}", "x": 1}}', fake('hun\\"ter', ", 2")),
    "json in json": ('{{"body": "{{\\"api_key\\": \\"{}\\", \\"x\\": 1}}"}}', PASSWORD),
    "python repr": ("Config(user='bob', password='{}')", fake("two words", ' and "')),
    "bytes repr": ("Config(password=b'{}')", PASSWORD),
    "subscript": ("os.environ['DB_PASSWORD'] = '{}'", PASSWORD),
    "yaml": ("db:\n  password: {}\n  user: bob", fake("correct horse", " battery staple")),
    "yaml block": ("db:\n  client_secret: |\n    {}\n  user: bob", PASSWORD),
    "prose": ("the new password: {} was refused", PASSWORD),
    "odbc": ("Server=db;Uid=bob;Pwd={};Database=x", PASSWORD),
    "libpq": ("host=db user=bob password={} dbname=x", PASSWORD),
    "xml": ("<db><password>{}</password></db>", PASSWORD),
    "command line": ("mysql -u bob --password {} -h db", PASSWORD),
    "argument list": ("['mysql', '--password', '{}']", PASSWORD),
    "curl user": ("curl -u bob:{} https://a.b", PASSWORD),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\nthen", PEM_BODY),
    "private key on one line": (
        '"-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"',
        PEM_BODY.replace("\n", "\\n"),
    ),
    "private key without its end": ("-----BEGIN OPENSSH PRIVATE KEY-----\n{}", PEM_BODY),
    "private key without its beginning": ("{}\n-----END PRIVATE KEY-----", PEM_BODY),
    "set-cookie": ("Set-Cookie: {}; Path=/; HttpOnly", fake("sid=", "s3ss10n")),
    "cookie in a repr": ("{{'Cookie': '{}'}}", fake("a=1; sid=", "s3ss10n")),
    "session cookie": ("with JSESSIONID={}; ok", fake("A1B2C3D4", "E5F6A7B8")),
    "s3 signature": ("https://s3/x?X-Amz-Signature={}&y=1", fake("fe5f80f77d5fa3be", "ca038a248ff027d0")),
    "refresh token": ("grant_type=refresh_token&refresh_token={}", fake("abc", "def")),
}

HARMLESS = (
    "550e8400-e29b-41d4-a716-446655440000",
    "session_id=550e8400-e29b-41d4-a716-446655440000",
    "flow_id: 018f4e2a-7b7c-7cc1-9d1e-0123456789ab",
    "d41d8cd98f00b204e9800998ecf8427e",
    "file_d41d8cd98f00b204e9800998ecf8427e.csv",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "at commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "layer8_d41d8cd98f00b204e9800998",
    "srv-prod-eu-central-1a-0042.internal.example.com:5432",
    "arn:aws:iam::123456789012:role/enrichment-worker",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret/app-AbCdEf",
    "token count: 5",
    "tokens: 512",
    "total_tokens=1234, prompt_tokens=1000",
    "max_tokens: 4096",
    "time_per_token=0.1234567",
    "Unexpected token: identifier",
    "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=",
    "eyJhIjoxfQ",
    "2024-05-01T10:00:00.123456+00:00",
    "/var/lib/secrets/app/token_cache/file.csv",
    "C:\\Users\\bob\\passwords.txt",
    "bob.smith+news@example.com",
    "git@github.com:owner/repository.git",
    "ssh://git@github.com:22/owner/repository",
    "http://localhost:8080/@scope/package?mail=a@b.c",
    "postgresql://db.example.com:5432/app",
    "primary key: id, foreign key: host_id",
    "routing_key=enrichment.apply monkey=1",
    "key: value",
    "the secretary: Jane, author: Bob",
    "password policy: at least 12 characters",
    "the passwords must match",
    "password=None, api_key='', token=null",
    "Basic training of the agent",
    "Bearer authentication is required",
    "sk-learn-pipeline-version-2-final-model",
    "risk-assessment-1234567890-abcdefghijkl",
    "the task-0123456789abcdefghijklmnop is done",
    "-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0B\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0B\n-----END PUBLIC KEY-----",
    "sig=0.05, design=0123456789abcdef0123",
    "mapping=0123456789abcdef0123456789",
    "access key id: 5",
    "cookie: chocolate",
    "run --token-count 5",
    "mapped 12 of 14 columns",
)

SECRET_KEYS = (
    "password",
    "passwd",
    "PASSWORD",
    "db_password",
    "dbPassword",
    "userPassword",
    "password2",
    "passphrase",
    "pwd",
    "secret",
    "client_secret",
    "clientSecret",
    "api_key",
    "apiKey",
    "apikey",
    "API_KEY",
    "X-API-Key",
    "access_token",
    "accessToken",
    "refresh_token",
    "id_token",
    "token",
    "HF_TOKEN",
    "github_token",
    "authorization",
    "Authorization",
    "Proxy-Authorization",
    "private_key",
    "privateKey",
    "secret_key",
    "aws_secret_access_key",
    "AccountKey",
    "SharedAccessKey",
    "encryption_key",
    "cookie",
    "Set-Cookie",
    "credentials",
    "jwt",
    "auth",
)

HARMLESS_KEYS = (
    "token_count",
    "tokens",
    "total_tokens",
    "token_usage",
    "max_tokens",
    "prompt_tokens",
    "time_to_first_token",
    "cost_per_token",
    "next_token",
    "pad_token",
    "key",
    "keys",
    "primary_key",
    "foreign_key",
    "public_key",
    "key_id",
    "access_key_id",
    "password_policy",
    "password_length",
    "secretary",
    "secret_name",
    "author",
    "authority",
    "auth_type",
    "keyword",
    "keyboard",
    "monkey",
    "session_id",
    "passed",
    "passing",
    "passenger",
    "tokenizer",
    "compass",
    "phrase",
    "cookie_banner",
    "idempotency_key",
    "routing_key",
    "hash",
    "signature",
)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_masked_and_what_stands_around_it_stays(name):
    around, secret = SECRETS[name]
    masked = mask_text(around.format(secret))
    assert secret not in masked
    assert MASK in masked
    before, after = (part.replace("{{", "{").replace("}}", "}") for part in around.split("{}"))
    assert masked.startswith(before[:5]) or name.startswith("private key")
    assert masked.endswith(after[-5:]) or name.startswith(("private key", "set-cookie", "openai key"))


@pytest.mark.parametrize("name", SECRETS)
def test_a_masked_text_stays_as_it_is(name):
    around, secret = SECRETS[name]
    masked = mask_text(around.format(secret))
    assert mask_text(masked) == masked


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_masked_in_values_keys_lists_and_objects_of_other_types(name):
    around, secret = SECRETS[name]
    text = around.format(secret)
    payload = {"note": text, text: 1, "deep": [{"list": (text, text.encode())}], "error": ValueError(text)}
    assert json.dumps(secret)[1:-1] not in json.dumps(safe_object(payload, max_bytes=9_000))


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_masked_in_a_traceback(name):
    around, secret = SECRETS[name]
    try:
        connect(around.format(secret))
    except ConnectionError as error:
        text = "".join(traceback.format_exception(error))
    assert secret not in safe_text(text, max_chars=4_000)


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_text_stays_as_it_is(text):
    assert mask_text(text) == text
    assert mask_text(f"Traceback: {text} and more") == f"Traceback: {text} and more"


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_value_of_a_secret_key_is_masked_whole_whatever_it_is(key):
    assert is_secret_key(key)
    for value in ("short", 123456, ["a", "b"], {"user": "bob"}):
        assert safe_object({key: value}, max_bytes=500) == {key: MASK}


@pytest.mark.parametrize("key", HARMLESS_KEYS)
def test_the_value_of_a_key_that_only_looks_secret_stays(key):
    assert not is_secret_key(key)
    assert safe_object({key: 12}, max_bytes=500) == {key: 12}


def test_what_gives_nothing_away_stays_under_a_secret_key():
    payload = {"password": None, "api_key": "", "token": False}
    assert safe_object(payload, max_bytes=500) == payload


@pytest.mark.parametrize("secret", [secret for name, (_, secret) in SECRETS.items() if "token" in name])
@pytest.mark.parametrize("max_chars", range(100, 150, 7))
def test_a_secret_that_lies_across_a_cut_does_not_show_its_beginning(secret, max_chars):
    text = safe_text("x" * 70 + f" token={secret} " + "y" * 1_000, max_chars=max_chars)
    assert secret[:12] not in text


# Each makes a careless pattern start again and again in what it has already read.
HOSTILE = (
    *("a", " ", "\n", "-", "_a", "A=", "\\", "=\\", "a-", "key  ", "sig=", "[masked]", "sk-", "ghp_", "AKIA"),
    *(
        "password",
        "password=",
        'password="',
        "password: \n",
        'password\\"=\\"',
        "token:",
        "token=a",
        "token: 1a",
    ),
    *("://a:", "://a:@", "eyJ", "eyJ.", "x.eyJaaaaaaaaaaaa", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----"),
    *(
        "A" * 64 + "\n",
        "bearer ",
        "basic ",
        "--password ",
        "--a-",
        "-u a:",
        "<password>",
        "cookie: a",
        "hooks/1/",
        "[",
        "{",
        '("',
        "['a', 'b'], ",
        "{'name': 'password', 'value': 'a'}, ",
        "name: password\nvalue: x\n",
        "a,password,b\n",
        "| a | password |\n",
        "mysql -p ",
        "curl -u a:b ",
        "password is hunter2 ",
        "the password ",
        "key key: ",
        "INSERT INTO t (a, password) VALUES ('a', 'b'), ",
        "parameters: (",
        "<password>x</password>",
        ":5432:a:b:c\n",
        "%70%61",
        "&quot;",
        "\\u0022",
        "cGFzc",
    ),
    *(
        "let password: String = ",
        "set('password','x'), ",
        "USER bob\nPASS x\n",
        "a1 LOGIN b c\n",
        "AUTH PLAIN abcdefgh\n",
        "334 a\n",
        'assword: "send "x" ',
        "WIFI:S:a;",
        "seed phrase: ",
        "seed phrase: abcd abcd abcd abcd abcd abcd abcd abcd abcd abcd abcd abcd ",
        "echo a | ",
        "<saml:Assertion a=",
        "password changed from a to b ",
        "tokens: [a, ",
        "tokens:\n - a\n",
        "Credentials('a', 'b', ",
        "storePassword 'x' ",
        '{"kty":"a","k":"b"} ',
        "\u5bc6\u7801\u662fabcd",
        "secret set ",
        "config:set A=1 ",
        "az keyvault secret set --value x ",
        "put-parameter --name a/password ",
        "password for a b c d e ",
        "a_pass b\n",
        "username a role b role c password ",
        "radius-server a b c d e f g ",
        "password = 'x' -> ",
        "pre-shared-key address a 1a key ",
        "code d'acc\u00e8s : ",
        "(user 'a', password 'b') ",
    ),
)


def seconds_of(text: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        mask_text(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_grows_with_the_length_of_a_hostile_text_and_not_with_its_square(unit):
    end = " password=x -----END PRIVATE KEY-----"
    # What is longer is masked with less care.
    small, big = (unit * (size // len(unit)) + end for size in (480, 7_680))
    assert seconds_of(big) < 16 * 5 * (seconds_of(small) + 50e-6)


def test_a_megabyte_of_everything_hostile_takes_time_in_proportion():
    part = "".join(unit * 40 for unit in HOSTILE)
    small, big = (part * (size // len(part)) for size in (64_000, 1_000_000))
    assert seconds_of(big) < 16 * 5 * seconds_of(small)


PIECES = st.sampled_from(
    [around for around, _ in SECRETS.values()]
    + [secret for _, secret in SECRETS.values()]
    + [*HOSTILE, *HARMLESS, MASK, "=", ":", " ", '"', "'", "\n", "\\", "@", "/", "x", "None", "…", ";", ","]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_masking_again_changes_nothing(text):
    masked = mask_text(text)
    assert mask_text(masked) == masked


@given(st.lists(PIECES, max_size=4).map("".join))
def test_the_cheap_search_overlooks_no_secret(text):
    assert not text.isascii() or may_hold_secret(text) or _read(text) == text
    assert _suspicion(text) or _read(text) == text
