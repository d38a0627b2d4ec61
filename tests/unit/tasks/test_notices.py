import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from masterflow.domain import SettingsInvalid
from masterflow.tasks.notices.notice import Notice
from masterflow.tasks.notices.receivers import NoticeSettings
from masterflow.tasks.notices.transports import NoticeRefused, send
from tests.support.servers.receivers import dripping_receiver, mail_receiver

SECRET = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
HOOK: dict[str, Any] = {
    "name": "pager",
    "kind": "webhook",
    "url": "https://example.org/x?token=hidden-token",
    "secrets": [SECRET],
    "events": ["failed"],
}


def notice(**fields: Any) -> Notice:
    given = {
        "id": uuid4(),
        "event": "failed",
        "at": datetime(2026, 11, 28, tzinfo=UTC),
        "flow_id": uuid4(),
        "client_account_id": uuid4(),
        "engagement_id": uuid4(),
        "flow_type": "discovery",
    }
    return Notice.model_validate(given | fields)


WRONG: dict[str, tuple[object, str]] = {
    "no JSON": ("hidden-token", "it is no JSON"),
    "another kind": ([HOOK | {"kind": "pigeon"}], "0: "),
    "an unknown event": ([HOOK | {"events": ["begun"]}], "0.webhook.events.0: "),
    "no event": ([HOOK | {"events": []}], "0.webhook.events: "),
    "no secret": ([HOOK | {"secrets": []}], "0.webhook.secrets: "),
    "a short secret": ([HOOK | {"secrets": ["whsec_aGlkZGVu"]}], "flowctl notices secret"),
    "a file as address": ([HOOK | {"url": "file:///etc/hidden-token"}], "must begin with https://"),
    "a line in an address": ([HOOK | {"url": "https://example.org/a b"}], "holds a space"),
    "a name with a path": ([HOOK | {"name": "../hidden"}], "0.webhook.name: "),
    "one name twice": ([HOOK, HOOK], "the same name"),
    "a setting that is none": ([HOOK | {"flow_types": ["discovery"], "follow": True}], "0.webhook.follow: "),
    "an unknown flow type": ([HOOK | {"flow_types": ["cooking"]}], "is no flow type"),
}


@pytest.mark.parametrize(("value", "said"), WRONG.values(), ids=WRONG.keys())
def test_receivers_that_cannot_be_are_refused_in_a_sentence_without_secrets(
    value: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENRICHMENT_NOTICES", value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(SettingsInvalid) as error:
        NoticeSettings()
    assert said in str(error.value)
    assert "ENRICHMENT_NOTICES" in str(error.value)
    assert "hidden" not in str(error.value)


def test_settings_show_no_address_and_no_secret() -> None:
    settings = NoticeSettings(receivers=json.dumps([HOOK]))
    assert "hidden" not in f"{settings!r} {settings.receivers!r}"
    assert SECRET not in f"{settings!r} {settings.receivers!r}"
    assert settings.receivers[0].address.place == "https://example.org:443"


def test_a_receiver_hears_of_its_tenants_and_types_alone() -> None:
    account = uuid4()
    limits = {"client_account_ids": [str(account)], "flow_types": ["discovery"]}
    [one] = NoticeSettings(receivers=json.dumps([HOOK | limits])).receivers
    row = {"client_account_id": account, "engagement_id": uuid4(), "flow_type": "discovery"}
    assert one.wants("failed", row)
    assert not one.wants("lost", row)
    assert not one.wants("failed", row | {"client_account_id": uuid4()})
    assert not one.wants("failed", row | {"flow_type": "planning"})


def test_a_receiver_that_answers_for_ever_is_cut_off() -> None:
    with dripping_receiver() as port:
        receivers = json.dumps([HOOK | {"url": f"http://127.0.0.1:{port}/"}])
        [one] = NoticeSettings(receivers=receivers).receivers
        with pytest.raises(NoticeRefused) as error:
            send(notice(), one, now_s=0, whole_s=0.3)
    assert error.value.is_away


def test_what_a_flow_is_called_cannot_forge_a_header_of_a_mail() -> None:
    with mail_receiver() as (port, mails):
        mail = {"name": "mail", "kind": "email", "url": f"smtp://127.0.0.1:{port}", "plain": True}
        receivers = json.dumps(
            [mail | {"events": ["failed"], "from": "a@example.org", "to": ["b@example.org"]}]
        )
        [one] = NoticeSettings(receivers=receivers).receivers
        send(notice(flow_name="x\r\nBcc: eve@example.org\r\n\r\nhello"), one, now_s=0)
        # Without TLS nothing is sent unless the settings say so.
        [strict] = NoticeSettings(receivers=receivers.replace("true", "false")).receivers
        with pytest.raises(NoticeRefused):
            send(notice(), strict, now_s=0)
    [taken] = mails
    assert taken["bcc"] is None
    assert "Bcc: eve" in str(taken["subject"]).replace("\n", "")
