import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from masterflow.domain import FlowContext, SettingsInvalid
from masterflow.domain.events import FlowLost, StatusChanged, new_event
from masterflow.tasks.notices.notice import Notice, notices_of
from masterflow.tasks.notices.receivers import NoticeSettings, Receiver
from masterflow.tasks.notices.transports import NoticeRefused, send
from tests.support.servers.receivers import (
    ENDLESS_HANDSHAKE,
    ENDLESS_HEADER,
    closing_receiver,
    dripping_receiver,
    mail_receiver,
    web_receiver,
)
from tests.support.servers.tls import TlsFront

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


def hook(url: str) -> Receiver:
    [one] = NoticeSettings(receivers=json.dumps([HOOK | {"url": url}])).receivers
    return one


ANSWERS: dict[int, dict[str, bool]] = {
    500: {"is_away": True, "is_final": False},
    503: {"is_away": True, "is_final": False},
    429: {"is_away": True, "is_final": False},
    400: {"is_away": False, "is_final": False},
    404: {"is_away": False, "is_final": False},
    307: {"is_away": False, "is_final": False},
    410: {"is_away": False, "is_final": True},
}


def test_an_answer_says_whether_others_are_tried_and_whether_this_one_is_tried_again() -> None:
    with web_receiver() as receiver:
        receiver.answer_headers["location"] = receiver.url
        send(notice(), hook(receiver.url), now_s=0)
        for status, meaning in ANSWERS.items():
            receiver.status = status
            with pytest.raises(NoticeRefused, match=f"^it answered {status}$") as error:
                send(notice(), hook(receiver.url), now_s=0)
            assert vars(error.value) == meaning
    assert len(receiver.taken) == len(ANSWERS) + 1


def test_a_receiver_that_hangs_up_in_its_answer_has_not_taken_it() -> None:
    with closing_receiver() as port, pytest.raises(NoticeRefused) as error:
        send(notice(), hook(f"http://127.0.0.1:{port}/"), now_s=0)
    assert error.value.is_away


@pytest.mark.parametrize(
    ("scheme", "drops"), [("http", ENDLESS_HEADER), ("https", ENDLESS_HANDSHAKE)], ids=["answer", "TLS"]
)
def test_a_receiver_that_goes_on_for_ever_is_cut_off(scheme: str, drops: tuple[bytes, bytes]) -> None:
    with dripping_receiver(*drops) as receiver:
        with pytest.raises(NoticeRefused, match="in time") as error:
            send(notice(), hook(f"{scheme}://127.0.0.1:{receiver.port}/"), now_s=0, whole_s=0.3)
        # It would have gone on until it had read a whole line, or a whole record.
        assert receiver.drops < 200
    assert error.value.is_away


def test_a_receiver_whose_certificate_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    with web_receiver() as receiver, TlsFront(tmp_path, receiver.port) as liar:
        with pytest.raises(NoticeRefused, match="certificate is not trusted"):
            send(notice(), hook(f"https://127.0.0.1:{liar.port}/"), now_s=0)
        assert receiver.taken == []


ROW: dict[str, Any] = {
    "client_account_id": uuid4(),
    "engagement_id": uuid4(),
    "flow_type": "discovery",
    "flow_name": None,
    "current_phase": "data_import",
    "is_lost": False,
    "last_error": {"phase": "data_import", "error": "postgresql://me:hidden@db/x is away \x1b[2J"},
    "ended": None,
}
AT = datetime(2026, 11, 28, tzinfo=UTC)
AT_US = int(AT.timestamp()) * 1_000_000

SHOWN: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "as the row says": ("failed", {"flow_status": "failed"}, ["failed"]),
    "of another tenant": ("failed", {"flow_status": "failed", "engagement_id": uuid4()}, []),
    "retried since": ("failed", {"flow_status": "processing"}, ["failed"]),
    "completed since": ("failed", {"flow_status": "completed", "ended": f"{AT_US + 1}-x"}, ["failed"]),
    "completed before": ("failed", {"flow_status": "completed", "ended": f"{AT_US - 1}-x"}, []),
    "completed by the application": ("failed", {"flow_status": "completed"}, []),
    "ended otherwise": ("cancelled", {"flow_status": "completed", "ended": f"{AT_US + 1}-x"}, []),
    "of no interest": ("processing", {"flow_status": "processing"}, []),
}


@pytest.mark.parametrize(("status", "found", "told"), SHOWN.values(), ids=SHOWN.keys())
def test_what_the_row_does_not_disprove_is_told_without_secrets(
    status: str, found: dict[str, Any], told: list[str]
) -> None:
    context = FlowContext(
        client_account_id=ROW["client_account_id"], engagement_id=ROW["engagement_id"], user_id="ann"
    )
    flow_id = uuid4()
    event = new_event(StatusChanged, context, flow_id, occurred_at=AT, status=status)
    notices = list(notices_of([event], {flow_id: ROW | found}))
    assert [one.event for one in notices] == told
    for one in notices:
        assert "hidden" not in str(one.detail)
        assert str(one.detail).isprintable()


def test_the_ids_of_two_witnesses_of_one_death_are_the_same() -> None:
    context = FlowContext(
        client_account_id=ROW["client_account_id"], engagement_id=ROW["engagement_id"], user_id="ann"
    )
    flow_id = uuid4()
    lost: dict[str, Any] = {"cause": "witnessed", "holder": "h", "host": "h", "last_sign_at": AT}
    deaths = [new_event(FlowLost, context, flow_id, **lost) for _ in range(2)]
    rows = {flow_id: ROW | {"flow_status": "processing", "is_lost": True}}
    assert len({one.event_id for one in deaths}) == 2
    assert len({one.id for one in notices_of(deaths, rows)}) == 1


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
