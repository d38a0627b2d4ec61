import json
import time
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from masterflow.domain import SettingsInvalid
from masterflow.status.access.limits import RateLimit, TooManyRequests
from masterflow.status.access.signin_codes import SignInCodes
from masterflow.status.access.tokens import TokenInvalid, issue_token, read_token
from masterflow.status.settings import StatusSettings

_KEY = "k" * 32
_ACCOUNT, _ENGAGEMENT = UUID(int=1), UUID(int=2)


def settings(**values: str) -> StatusSettings:
    return StatusSettings.model_validate({"ENRICHMENT_JWT_KEY": _KEY, **values})


def claims(**changes: Any) -> dict[str, Any]:
    whole = {
        "iss": "enrichment",
        "aud": "enrichment-status",
        "exp": int(time.time()) + 60,
        "sub": "ann",
        "client_account_id": str(_ACCOUNT),
        "engagement_ids": [str(_ENGAGEMENT)],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def test_a_token_names_account_engagements_and_user() -> None:
    token = issue_token(settings(), _ACCOUNT, engagement_ids=[_ENGAGEMENT], user_id="ann")
    viewer = read_token(token, settings())
    assert (viewer.client_account_id, viewer.engagement_ids, viewer.user_id) == (
        _ACCOUNT,
        frozenset({_ENGAGEMENT}),
        "ann",
    )


def test_a_token_for_a_whole_account_says_so_in_a_word() -> None:
    token = issue_token(settings(), _ACCOUNT, engagement_ids=None, user_id="ann")
    assert jwt.decode(token, options={"verify_signature": False})["engagement_ids"] == "all"
    scope = read_token(token, settings()).scope
    assert scope.holds({"client_account_id": _ACCOUNT, "engagement_id": _ENGAGEMENT})
    assert not scope.holds({"client_account_id": _ENGAGEMENT, "engagement_id": _ENGAGEMENT})


@pytest.mark.parametrize(
    ("scope", "may_control"),
    [
        (..., False),
        ("", False),
        ("controls", False),
        ("control", True),
        ("openid control email", True),
        (["openid", "control"], True),
    ],
    ids=str,
)
def test_a_token_lets_nobody_control_flows_unless_its_scope_says_so(scope: Any, may_control: bool) -> None:
    token = jwt.encode(claims(scope=scope), _KEY, algorithm="HS256")
    assert read_token(token, settings()).may_control is may_control


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1_000_000_000},  # in 2001; the same in every process of xdist
        {"exp": ...},
        {"nbf": 4_000_000_000},  # in 2096
        {"iss": "somebody else"},
        {"iss": ...},
        {"aud": "another service"},
        {"aud": ...},
        {"sub": ...},
        {"sub": "x" * 300},
        {"client_account_id": "no uuid"},
        {"client_account_id": ...},
        {"engagement_ids": []},
        {"engagement_ids": "*"},
        {"engagement_ids": ["all"]},
        {"engagement_ids": None},
        {"engagement_ids": ...},
        {"scope": {"control": True}},
        {"scope": 1},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_does_not_hold(changes: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        read_token(jwt.encode(claims(**changes), _KEY, algorithm="HS256"), settings())


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "x" * 9_000,
        jwt.encode(claims(), "", algorithm="none"),
        jwt.encode(claims(), "w" * 32, algorithm="HS256"),
        jwt.encode(claims(), _KEY * 2, algorithm="HS512"),
    ],
    ids=["empty", "garbage", "too long", "alg none", "another key", "another algorithm"],
)
def test_a_forged_token_does_not_hold(token: str) -> None:
    with pytest.raises(TokenInvalid):
        read_token(token, settings())


@pytest.mark.parametrize(
    ("algorithm", "private"),
    [("ES256", ec.generate_private_key(ec.SECP256R1())), ("EdDSA", ed25519.Ed25519PrivateKey.generate())],
)
def test_a_public_key_verifies_and_is_no_secret_to_sign_with(algorithm: str, private: Any) -> None:
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    own = settings(ENRICHMENT_JWT_KEY=public, ENRICHMENT_JWT_ALGORITHM=algorithm)
    assert read_token(jwt.encode(claims(), private, algorithm=algorithm), own).user_id == "ann"
    confused = jwt.api_jws.PyJWS()
    confused.unregister_algorithm("HS256")
    confused.register_algorithm("HS256", _AnyKey("SHA256"))
    forged = confused.encode(json.dumps(claims()).encode(), public, algorithm="HS256")
    with pytest.raises(TokenInvalid):
        read_token(forged, own)


class _AnyKey(jwt.algorithms.HMACAlgorithm):
    def __init__(self, _name: str) -> None:
        super().__init__(jwt.algorithms.HMACAlgorithm.SHA256)

    def prepare_key(self, key: Any) -> bytes:
        return key.encode() if isinstance(key, str) else key


@pytest.mark.parametrize(
    "values",
    [
        {"ENRICHMENT_JWT_KEY": "too short"},
        {"ENRICHMENT_JWT_KEY": _KEY, "ENRICHMENT_JWT_ALGORITHM": "ES256"},
        {"ENRICHMENT_JWT_KEY": _KEY, "ENRICHMENT_JWT_ALGORITHM": "none"},
        {},
    ],
    ids=str,
)
def test_a_key_that_does_not_fit_is_refused_at_the_start(values: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="ENRICHMENT_JWT_"):
        StatusSettings.model_validate(values) if values else StatusSettings()


def test_a_sign_in_code_works_once() -> None:
    codes = SignInCodes()
    code = codes.add("the token")
    assert [codes.take("another code"), codes.take(code), codes.take(code)] == [None, "the token", None]


@pytest.mark.parametrize("lasts", [False, True])
def test_a_code_of_the_settings_lasts_only_where_they_say_so(lasts: bool) -> None:
    settings = StatusSettings(
        jwt_key=SecretStr(_KEY),
        signin_code=SecretStr("c" * 20),
        signin_token=SecretStr("the token"),
        signin_reusable=lasts,
    )
    codes = SignInCodes.of(settings)
    found = [codes.take("c" * 20), codes.take("another"), codes.take("c" * 20)]
    assert found == ["the token", None, "the token" if lasts else None]


def test_who_asks_too_often_is_told_so_and_others_are_not() -> None:
    limit = RateLimit(rate_per_s=1)
    for _ in range(4):
        limit.take("ann")
    with pytest.raises(TooManyRequests):
        limit.take("ann")
    limit.take("bob")
