import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from masterflow.tasks.notices.notice import Notice
from masterflow.tasks.notices.receivers import NoticeEvent, NoticeSettings, WebhookReceiver
from masterflow.tasks.notices.transports import webhook_body, webhook_headers

PAGE = (Path(__file__).parents[3] / "docs" / "notices.md").read_text()
SETTING, BODY = re.findall(r"^```json\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
[CODE] = re.findall(r"^```python\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMES: dict[str, Any] = {}
exec(compile(CODE, "docs/notices.md", "exec"), NAMES)
VERIFY: Callable[..., str] = NAMES["verify"]

RECEIVERS = NoticeSettings(receivers=SETTING).receivers
FIELDS = {name: value for name, value in json.loads(BODY)["data"].items() if name not in {"text", "link"}}
NOTICE = Notice.model_validate_json(json.dumps(FIELDS))
SECRET = json.loads(SETTING)[0]["secrets"][0]
NEW = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHBhZ2Vy"


def webhook(*secrets: str) -> WebhookReceiver:
    page = {"page": "https://flows.example.org", "secrets": secrets}
    [one] = NoticeSettings(receivers=json.dumps([json.loads(SETTING)[0] | page])).receivers
    assert isinstance(one, WebhookReceiver)
    return one


def test_its_receivers_are_taken() -> None:
    assert [one.kind for one in RECEIVERS] == ["webhook", "slack", "email"]


def test_it_shows_the_body_that_is_sent() -> None:
    assert json.loads(webhook_body(NOTICE, webhook(SECRET))) == json.loads(BODY)


def test_it_names_every_event() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(get_args(NoticeEvent))


@pytest.mark.parametrize("secrets", [[SECRET], [NEW, SECRET]], ids=["one secret", "two"])
def test_its_code_verifies_what_is_sent(secrets: list[str]) -> None:
    body = webhook_body(NOTICE, webhook(*secrets))
    headers = webhook_headers(NOTICE, webhook(*secrets), body, now_s=time.time())
    for secret in secrets:
        assert VERIFY(headers, body, secret) == FIELDS["id"]


def test_its_code_refuses_what_was_changed_made_with_another_key_or_sent_long_ago() -> None:
    body = webhook_body(NOTICE, webhook(SECRET))
    headers = webhook_headers(NOTICE, webhook(SECRET), body, now_s=time.time())
    other = headers | {"webhook-id": FIELDS["flow_id"]}
    for given in ((headers, body + b" ", SECRET), (other, body, SECRET), (headers, body, NEW)):
        with pytest.raises(ValueError, match="not genuine"):
            VERIFY(*given)
    old = webhook_headers(NOTICE, webhook(SECRET), body, now_s=time.time() - 600)
    with pytest.raises(ValueError, match="too old"):
        VERIFY(old, body, SECRET)
