import base64
import json
import traceback

import pytest

from masterflow import tracker
from masterflow.domain.events import ErrorOccurred, MetadataUpdated
from masterflow.domain.payload.masking import mask_text
from masterflow.tracker.testing import flow_reports
from tests.support.events.reported import CONTEXT, FLOW_ID

PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n"
    "-----END RSA PRIVATE KEY-----\n"
)
KEY = base64.b64encode(PEM.encode()).decode()
LOGIN = base64.b64encode(b"bob:hunter2").decode()

# A payload or text, and what of it nobody may read.
SHAPES = [
    ({"env": [{"name": "DB_PASSWORD", "value": "swordfish"}]}, ["swordfish"]),
    ({"env": [{"value": "swordfish", "name": "SMTP_PASS"}]}, ["swordfish"]),
    ({"pairs": [["user", "bob"], ["password", "swordfish"]]}, ["swordfish"]),
    ({"headers": [("Authorization", "Bearer abc.def")]}, ["abc.def"]),
    ({"h": [[b"authorization", b"Bearer abcdef"]]}, ["abcdef"]),
    ({"cmd": ["mysql", "--password", "swordfish"]}, ["swordfish"]),
    ({"cmd": ["mysql", "-pswordfish"]}, ["swordfish"]),
    ({"cmd": ["curl", "-u", "bob:swordfish", "https://a"]}, ["swordfish"]),
    ({"db_pass": "swordfish"}, ["swordfish"]),
    ({"bindpw": "swordfish"}, ["swordfish"]),
    ({"passcode": "4711"}, ["4711"]),
    ({"otp": "123456"}, ["123456"]),
    ({"otp": 123456}, ["123456"]),
    ({"pin": "4711"}, ["4711"]),
    ({"fernet_key": "abcxyz"}, ["abcxyz"]),
    ({"bearer": "xyzzy"}, ["xyzzy"]),
    ({"access_tokens": ["aa1", "bb2"]}, ["aa1", "bb2"]),
    ({"columns": ["user", "password"], "rows": [["bob", "swordfish"], ["al", "pw2"]]}, ["swordfish", "pw2"]),
    ({"columns": ["id", "token"], "data": [[1, "tt1"]]}, ["tt1"]),
    ({"rows": [["user", "password"], ["bob", "swordfish"]]}, ["swordfish"]),
    (
        {"sql": "INSERT INTO u (name, password) VALUES (%s, %s)", "params": ["bob", "swordfish"]},
        ["swordfish"],
    ),
    ({"sql": "UPDATE u SET password = $1 WHERE id = $2", "args": ["swordfish", 3]}, ["swordfish"]),
    ("CREATE USER bob WITH PASSWORD 'swordfish'", ["swordfish"]),
    ("ALTER USER bob PASSWORD 'swordfish';", ["swordfish"]),
    ("CREATE USER bob IDENTIFIED BY 'swordfish'", ["swordfish"]),
    ("create user 'bob'@'%' identified by 'swordfish'", ["swordfish"]),
    ("CREATE USER bob IDENTIFIED BY swordfish", ["swordfish"]),
    ("IDENTIFIED WITH mysql_native_password BY 'swordfish'", ["swordfish"]),
    (
        "INSERT INTO users (name, password, x) VALUES ('bob', 'swordfish', 1), ('al', 'pw22', 2)",
        ["swordfish", "pw22"],
    ),
    (
        "[SQL: INSERT INTO users (name, password) VALUES (%s, %s)]\n[parameters: ('bob', 'swordfish')]",
        ["swordfish"],
    ),
    (
        "statement: update users set password=$1 where id=$2\n"
        "DETAIL:  parameters: $1 = 'swordfish', $2 = '5'",
        ["swordfish"],
    ),
    ("user,password,age\nbob,swordfish,5\nal,pw22,6", ["swordfish", "pw22"]),
    ("user;password\r\nbob;swordfish\r\n", ["swordfish"]),
    ("user\tpassword\nbob\tswordfish", ["swordfish"]),
    ("| user | password |\n| --- | --- |\n| bob | swordfish |", ["swordfish"]),
    (" user | password  \n------+-----------\n bob  | swordfish\n(1 row)", ["swordfish"]),
    ("  user   password\n0  bob  swordfish\n1   al     pw22", ["swordfish", "pw22"]),
    ("machine example.com login bob password swordfish", ["swordfish"]),
    ("machine example.com\n  login bob\n  password swordfish\n", ["swordfish"]),
    ("db.example.com:5432:app:bob:swordfish", ["swordfish"]),
    ("*:*:*:bob:swordfish", ["swordfish"]),
    (
        "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nPrivate-Lines: 2\n"
        "AAAAgQCabc\nAAAAQQDxyz=\nPrivate-MAC: aa",
        ["AAAAgQCabc", "AAAAQQDxyz"],
    ),
    ("GET /cb?next=%2Flogin%3Fpassword%3Dswordfish HTTP", ["swordfish"]),
    ("password%3Dswordfish", ["swordfish"]),
    ("password%253Dswordfish", ["swordfish"]),
    ("{&quot;password&quot;:&quot;swordfish&quot;}", ["swordfish"]),
    ("&lt;password&gt;swordfish&lt;/password&gt;", ["swordfish"]),
    ("postgres%3A%2F%2Fbob%3Aswordfish%40db%2Fapp", ["swordfish"]),
    ('{"\\u0022password\\u0022: \\u0022swordfish\\u0022"}', ["swordfish"]),
    ("client-key-data: " + KEY + "", [KEY[:40], KEY[40:60], KEY[-20:]]),
    ("data " + KEY + " x", [KEY[:40]]),
    ('{"auths":{"r.io":{"auth":"' + LOGIN + '"}}}', [LOGIN]),
    ("auth: " + LOGIN + "", [LOGIN]),
    ("'auth': '" + LOGIN + "'", [LOGIN]),
    ("jdbc:oracle:thin:scott/swordfish@db:1521/x", ["swordfish"]),
    ("sqlplus scott/swordfish@db", ["swordfish"]),
    ("the password is swordfish", ["swordfish"]),
    ("The password is hunter2, try", ["hunter2"]),
    ("Password was changed to hunter2-Zx.", ["hunter2-Zx"]),
    ("your password is: swordfish", ["swordfish"]),
    ("the token is abc123def456", ["abc123def456"]),
    ("login with password 'hunter2-Zx' failed", ["hunter2-Zx"]),
    ("using password hunter2 failed", ["hunter2"]),
    ("PIN is 4711", ["4711"]),
    ("your verification code is 123456", ["123456"]),
    ("otp: 123456", ["123456"]),
    ("mysql -u bob -pswordfish -h db", ["swordfish"]),
    ("sshpass -p swordfish ssh bob@h", ["swordfish"]),
    ("redis-cli -a swordfish ping", ["swordfish"]),
    ("ldapsearch -D cn=x -w swordfish", ["swordfish"]),
    ("docker login -u bob -p swordfish r.io", ["swordfish"]),
    ("['mysql', '-pswordfish']", ["swordfish"]),
    ("docker exec db mysql -pswordfish", ["swordfish"]),
    ("curl --user bob:swordfish https://x", ["swordfish"]),
    ("[('user', 'bob'), ('password', 'swordfish')]", ["swordfish"]),
    ('[{"name": "DB_PASSWORD", "value": "swordfish"}]', ["swordfish"]),
    ("{'name': 'DB_PASSWORD', 'value': 'swordfish'}", ["swordfish"]),
    ('{"columns": ["user","password"], "rows": [["bob","swordfish"]]}', ["swordfish"]),
    ("bad config {'columns': ['user', 'password'], 'rows': [['bob', 'swordfish']]}", ["swordfish"]),
    ("env:\n- name: DB_PASSWORD\n  value: swordfish\n", ["swordfish"]),
    ('<add key="DbPassword" value="swordfish"/>', ["swordfish"]),
    ('<entry key="password">swordfish</entry>', ["swordfish"]),
    ("<key>password</key>\n<string>swordfish</string>", ["swordfish"]),
    ('<input type="password" name="p" value="swordfish">', ["swordfish"]),
    ('{"body": "{\\"name\\": \\"DB_PASSWORD\\", \\"value\\": \\"swordfish\\"}"}', ["swordfish"]),
    ("db_pass=swordfish", ["swordfish"]),
    ("smtpPass: 'swordfish'", ["swordfish"]),
    ("bindpw hunter2-Zx", ["hunter2-Zx"]),
    ("bindpw: swordfish", ["swordfish"]),
    ("fernet_key=swordfish", ["swordfish"]),
    ("access_tokens=['aa1','bb2']", ["aa1", "bb2"]),
    ("requirepass hunter2-Zx", ["hunter2-Zx"]),
    ("PGPASSWORD=swordfish psql", ["swordfish"]),
    ("root:$6$saltsalt$abcdefghijklmnopqrstuvw:1:", ["abcdefghij"]),
    ("bob:{SSHA}abcdefghijklmnop==", ["abcdefghij"]),
    ("pbkdf2_sha256$260000$salt$aGFzaGhhc2hoYXNo=", ["aGFzaGhhc2"]),
    ('Authorization: Digest username="bob", response="aabbcc1122"', ["aabbcc1122"]),
    ('password = "correct horse battery"', ["horse"]),
    ("export DB_PASS='swordfish'", ["swordfish"]),
    ("set_password('hunter2-Zx')", ["hunter2-Zx"]),
    ("-Dspring.datasource.password=swordfish", ["swordfish"]),
    ("net use z: \\\\h\\s /user:bob swordfish", ["swordfish"]),
    ("keytool -storepass swordfish", ["swordfish"]),
    ("Passwort: swordfish", ["swordfish"]),
    ("contraseña: swordfish", ["swordfish"]),
    ("пароль: swordfish", ["swordfish"]),
    ({"Key": "api_key", "Value": "swordfish"}, ["swordfish"]),
    ({"headers": {"X-Vault-Token": "swordfish"}}, ["swordfish"]),
    ({"user_pw": "swordfish"}, ["swordfish"]),
    ({"passwords": ["swordfish"]}, ["swordfish"]),
    ({"db": {"creds": {"u": "swordfish"}}}, ["swordfish"]),
    ({"api_key_prod": "swordfish"}, ["swordfish"]),
    ({"cvv": "123"}, ["123"]),
    ({"backup_codes": ["a1b2-c3d4"]}, ["a1b2-c3d4"]),
    ({"secret_key_base": "swordfish"}, ["swordfish"]),
    ({"SecretString": "swordfish"}, ["swordfish"]),
    ({"f": ["HSET", "u:1", "password", "hunter2"]}, ["hunter2"]),
    ({"e": "c2VjcmV0X2tleT1zd29yZGZpc2gtMTIz"}, ["c2VjcmV0X2tleT1zd29yZGZpc2g"]),
    ({"username=bob&password=swordfish": 1}, ["swordfish"]),
    ({"DB_PASSWORD=hunter2": "x"}, ["hunter2"]),
    ("https://0123456789abcdefghij@git.example.com/x", ["0123456789abcdefghij"]),
    ("GET /cb?code=4%2F0AX4XfWh1234567890abcdef&x", ["0AX4XfWh1234567890"]),
    ("openssl rsa -passin pass:hunter2-Zx -in k", ["hunter2-Zx"]),
    ("encryption key 9f8a7b6c5d4e3f2a1b0c9d8e", ["9f8a7b6c5d4e3f2a1b0c9d8e"]),
    ("AWS_SECRET_ACCESS_KEY wJalrXUtnFEMIK7MDENGbPxRfiCY", ["wJalrXUtnFEMIK7MDENGbPxRfiCY"]),
    ("password:\n  hunter2-Zx\n", ["hunter2-Zx"]),
    ("Password: swordfish, user bob", ["swordfish"]),
    ("pwd:swordfish", ["swordfish"]),
    ('psk="swordfish"', ["swordfish"]),
    ("password=>swordfish", ["swordfish"]),
    ("**password**: swordfish", ["swordfish"]),
    ("`password`: `swordfish`", ["swordfish"]),
    ("password → hunter2-Zx", ["hunter2-Zx"]),
    ("ConnectionError: access denied for bob (using password: hunter2-Zx)", ["hunter2-Zx"]),
]

# Texts and payloads that hold none.
LOOK_ALIKES = [
    "token count: 5",
    "input_tokens",
    "password policy",
    "pin the version",
    "data_import",
    "max_tokens",
    "secretary",
    "compass",
    "key: value",
    "the password is required",
    "Password is too short",
    "the token is expired",
    "password must contain digits",
    "invalid password",
    "pin the version: 2.1.0",
    "pins: 3 of 4",
    "gpio pin: 13",
    "second pass: done",
    "pass: 12, fail: 3",
    "status code: 200",
    "exit code is 1",
    "error code: E1234",
    "the secret is out",
    "identified by the agent",
    "identified by agent_1",
    "authentication failed",
    "author: Bob",
    "the key is sorted",
    "keys: id, name",
    "mapping key is hostname1",
    "primary key (id, tenant_id)",
    "columns: id, password, email",
    "['user', 'password', 'email']",
    "missing columns ['password', 'email']",
    "Unexpected token } in JSON at position 12",
    "Unexpected token abc123",
    "tokens: 512, cost: 3",
    "login as bob",
    "run -p 8080:80",
    "docker run -p 8080:80 nginx",
    "tar -p -xf a.tar",
    "ssh -p 2222 host",
    "mkdir -p /var/lib/app",
    "file.py:12:main:error:Unused",
    "10:30:00:12",
    "a/b@c",
    "user@example.com/path",
    "basic training",
    "bypass=true",
    "password protected: yes",
    "passed: 12",
    "the passenger: Bob",
    "passing=3",
    "PWD=/home/app",
    "pwd: /srv",
    "routing_key=enrichment.apply",
    "cache key: flow:1:2",
    "idempotency_key: 550e8400-e29b-41d4-a716-446655440000",
    "password reset for user 12",
    "password_policy=strict",
    "token_type: bearer",
    "grant_type=password",
    "auth_type=basic",
    "auth: none",
    "auth: failed",
    "secret_name: app/db",
    "a,b,c\n1,2,3",
    "name,age\nbob,5",
    "phase,status\nimport,done",
    "cookie policy: strict",
    "session_id=550e8400-e29b-41d4-a716-446655440000",
    "total tokens is 512",
    "the api key was revoked",
    "password was wrong",
    "password has expired",
    "changed the password to be safe",
    "{'name': 'password', 'type': 'string'}",
    "the pin code is required",
    "zip code: 12345",
    "country code: DE",
    "get_secret('app/db')",
    "getenv('DB_PASSWORD')",
    "password: ********",
    "keyword argument: x",
    "use a passphrase",
    "bearer of bad news",
    "Public key is valid",
    "sorting key: created_at",
    "the bot token is missing",
    "SELECT password FROM users",
    "UPDATE users SET password = %s WHERE id = %s",
    "name: Bob\nvalue: 5",
    "<name>x</name><value>1</value>",
    "password hashing uses bcrypt",
    "secret santa",
    "open secret",
    "the tokenizer is fast",
    "100%25 done",
    "a%20b",
    "&quot;quoted&quot;",
    "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "hash: d41d8cd98f00b204e9800998ecf8427e",
    "pipeline: 5",
    "spin: 1/2",
    "opinion: yes",
    "laptop: 5",
    "setup: done 12",
    "Auth module: 3 of 4 files migrated",
    "to the token",
    "pin=13",
    {"gpio_pin": 13},
    {"pass": 12, "fail": 3},
    {"first_pass": "complete"},
    {"columns": ["id", "password"], "count": 2},
    {"missing": ["password", "email"]},
    {"name": "password", "type": "string"},
    {"tokens": 5, "input_tokens": 6, "session_tokens": 7},
    {"routing_key": "enrichment.apply"},
    {"key": "value"},
    {"status_code": "200"},
    {"phase": "token", "value": 12},
    {"pin": "python==3.11"},
    {"args": ["run", "-p", "8080:80"]},
    {"cmd": ["docker", "run", "--name", "x"]},
    {"public_key": "abc"},
    {"field": "email", "value": "a@b.c"},
    {"pairs": [["a", 1], ["b", 2]]},
    {"code": "E1234"},
    {"compass": "north"},
    {"password_policy": "strict"},
    {"secret_name": "app"},
    {"keys": ["a", "b"]},
    {"error_code": "E12345"},
    {"name": "max_tokens", "value": 5},
    {"rows": [["id", "name"], [1, "x"]]},
    {"phase_key": "import"},
    {"pwd": "/srv/app"},
    {"bypass": "x"},
    {"auth_type": "basic"},
    {"session_id": "550e8400-e29b-41d4-a716-446655440000"},
]


def fail(text):
    raise ValueError(text)


def trace_of(text):
    try:
        fail(text)
    except ValueError as error:
        return "".join(traceback.format_exception(error))


def reported(payload):
    """Return what leaves the process of one payload, put into every place a hook has for it, as one text."""
    trace = trace_of(payload if isinstance(payload, str) else repr(payload))
    with flow_reports() as told:
        tracker.report(MetadataUpdated, CONTEXT, FLOW_ID, updates={"a": payload, "b": [{"c": payload}]})
        if isinstance(payload, str):
            tracker.report(MetadataUpdated, CONTEXT, FLOW_ID, updates={payload: 1})
        else:
            tracker.report(MetadataUpdated, CONTEXT, FLOW_ID, updates=payload)
        tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="p", error=trace, details={"t": trace})
        tracker.report(ErrorOccurred, CONTEXT, FLOW_ID, phase="p", error=json.dumps(payload, default=str))
        return "\n".join(event.model_dump_json(include={"updates", "error", "details"}) for event in told)


@pytest.mark.parametrize(("payload", "secrets"), SHAPES, ids=str)
def test_no_part_of_a_secret_leaves_a_hook(payload, secrets):
    text = reported(payload)
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize("payload", LOOK_ALIKES, ids=str)
def test_what_only_looks_like_a_secret_leaves_a_hook_as_it_is(payload):
    with flow_reports() as told:
        tracker.report(MetadataUpdated, CONTEXT, FLOW_ID, updates={"a": payload})
        [event] = told.of(MetadataUpdated)
    assert event.updates == {"a": payload}
    if isinstance(payload, str):
        assert mask_text(f"Traceback: {payload} and more") == f"Traceback: {payload} and more"


def test_the_end_of_a_text_longer_than_any_hook_keeps_is_masked_from_the_first_suspicion():
    text = "word " * 3_000 + "\nuser,password\n" + "bob,swordfish\n" * 3_000
    masked = mask_text(text)
    assert masked.startswith("word " * 3_000)
    assert masked.endswith("[masked]")
    assert "swordfish" not in masked
    harmless = "word " * 10_000
    assert mask_text(harmless) is harmless
    assert mask_text(harmless * 100) == (harmless * 2)[:64_000] + "[masked]"
