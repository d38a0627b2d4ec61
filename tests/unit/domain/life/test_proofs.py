"""Which signs of life prove that they come from a process with a key of the account."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from masterflow.domain import FlowContext
from masterflow.domain.life.holding import HeldFlow
from masterflow.domain.life.proofs import Spoken, make_proofs
from masterflow.domain.life.signs import OWN_FIELD, Held, Sign, own_text
from masterflow.domain.tenant import flow_context

OURS, THEIRS = (flow_context(uuid4(), uuid4(), "ann") for _ in range(2))
OUR_KEYS = {OURS.client_account_id: {"new": SecretStr("n" * 16), "old": SecretStr("o" * 16)}}
THEIR_KEYS = {THEIRS.client_account_id: {"their": SecretStr("t" * 16)}}
KEYS = {**OUR_KEYS, **THEIR_KEYS}
SPOKEN = Spoken("host-1-0123abcd", "host", 1, moment=1_000, sequence=7, at_ms=5_000)
OURS_ID, OTHER_ID, THEIRS_ID = (UUID(int=number) for number in (1, 2, 3))


def told(flow_id: UUID, context: FlowContext, **fields: Any) -> str:
    return Held(HeldFlow(flow_id, context, "discovery", 5), **fields).text()


OURS_TOLD, THEIRS_TOLD = told(OURS_ID, OURS), told(THEIRS_ID, THEIRS)


def fields_of(spoken: Spoken = SPOKEN, keys: Any = KEYS) -> dict[str, str]:
    """Return the hash that a process writes which holds a flow of each account."""
    flows = {
        OURS.client_account_id: {str(OURS_ID): OURS_TOLD},
        THEIRS.client_account_id: {str(THEIRS_ID): THEIRS_TOLD},
    }
    own = own_text(
        host=spoken.host,
        pid=spoken.pid,
        moment=spoken.moment,
        sequence=spoken.sequence,
        at_ms=spoken.at_ms,
        proofs=make_proofs(spoken, flows, keys),
    )
    return {OWN_FIELD: own, str(OURS_ID): OURS_TOLD, str(THEIRS_ID): THEIRS_TOLD}


def read(fields: dict[str, str], keys: Any = KEYS, sender_id: str = SPOKEN.sender_id) -> Sign:
    sign = Sign.read(sender_id, fields, keys)
    assert sign is not None
    return sign


def test_what_each_account_proves_counts():
    sign = read(fields_of())
    assert (set(sign.held), sign.refused, sign.is_proven) == ({OURS_ID, THEIRS_ID}, 0, True)
    assert (sign.moment, sign.sequence, sign.at_ms) == (1_000, 7, 5_000)


def test_an_older_key_proves_it_too():
    old = {OURS.client_account_id: {"old": SecretStr("o" * 16)}}
    assert set(read(fields_of(keys={**old, **THEIR_KEYS})).held) == {OURS_ID, THEIRS_ID}


def test_without_keys_here_all_counts_and_nothing_is_proven():
    sign = read(fields_of(keys={}), keys={})
    assert (len(sign.held), sign.refused, sign.is_proven) == (2, 0, False)


def test_of_several_accounts_only_those_count_that_prove_it():
    sign = read(fields_of(keys=OUR_KEYS))
    assert (set(sign.held), sign.refused, sign.is_proven) == ({OURS_ID}, 1, True)
    unknown = read(fields_of(), keys=OUR_KEYS)
    assert (set(unknown.held), unknown.refused) == ({OURS_ID}, 1)


def changed_own(**changes: Any) -> dict[str, str]:
    """Return a sign whose own words were changed, with the proofs that were made for the former."""
    fields = fields_of()
    spoken = replace(SPOKEN, **changes)
    proofs = read_proofs(fields)
    return fields | {
        OWN_FIELD: own_text(
            host=spoken.host,
            pid=spoken.pid,
            moment=spoken.moment,
            sequence=spoken.sequence,
            at_ms=spoken.at_ms,
            proofs=proofs,
        )
    }


def read_proofs(fields: dict[str, str]) -> Any:
    import json

    return json.loads(fields[OWN_FIELD])["proofs"]


FORGERIES: dict[str, Callable[[], dict[str, str]]] = {
    "without proofs": lambda: fields_of(keys={}),
    "a later moment": lambda: changed_own(moment=2_000),
    "another number": lambda: changed_own(sequence=8),
    "a later time": lambda: changed_own(at_ms=6_000),
    "no time": lambda: changed_own(at_ms=None),
    "another host": lambda: changed_own(host="hosts"),
    "another process": lambda: changed_own(pid=2),
    "keys of nobody": lambda: fields_of(
        keys={one: {"new": SecretStr("x" * 16), "their": SecretStr("x" * 16)} for one in KEYS}
    ),
    "the keys of the other": lambda: fields_of(
        keys={
            OURS.client_account_id: THEIR_KEYS[THEIRS.client_account_id],
            THEIRS.client_account_id: OUR_KEYS[OURS.client_account_id],
        }
    ),
    "the sign of another process": lambda: fields_of(replace(SPOKEN, sender_id="host-2-0123abcd")),
    "proofs that are a list": lambda: {
        **fields_of(),
        OWN_FIELD: own_text(host="host", pid=1, moment=1_000, sequence=7, at_ms=5_000, proofs=[1]),  # type: ignore[arg-type]
    },
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_sign_that_is_forged_or_changed_proves_nothing(forgery):
    sign = read(FORGERIES[forgery]())
    assert (dict(sign.held), sign.refused, sign.is_proven) == ({}, 2, False)


OUR_FORGERIES: dict[str, dict[str, str | None]] = {
    "a flow that it does not hold": {str(OTHER_ID): told(OTHER_ID, OURS)},
    "one twice": {str(OURS_ID).upper() + " ": OURS_TOLD, "{" + str(OURS_ID) + "}": OURS_TOLD},
    "a deadline": {str(OURS_ID): told(OURS_ID, OURS, flow_deadline_at=1)},
    "a flow less, and another": {str(OURS_ID): None, str(OTHER_ID): told(OTHER_ID, OURS)},
}


@pytest.mark.parametrize("forgery", OUR_FORGERIES)
def test_no_flow_of_an_account_is_added_or_changed_without_its_key(forgery):
    fields = fields_of()
    for name, text in OUR_FORGERIES[forgery].items():
        fields.pop(name, None)
        if text is not None:
            fields[name] = text
    sign = read(fields)
    assert set(sign.held) == {THEIRS_ID}
    assert sign.refused >= 1


def test_what_is_no_flow_costs_the_others_nothing():
    fields = {**fields_of(), "no flow": "[", str(OTHER_ID): "\udcff"}
    assert set(read(fields).held) == {OURS_ID, THEIRS_ID}


def test_its_age_is_that_of_its_own_words():
    assert read(fields_of()).age_s(now_s=65, scored_s=64) == 60
    older = read(fields_of(replace(SPOKEN, at_ms=None)))
    assert older.age_s(now_s=65, scored_s=64) == 1
