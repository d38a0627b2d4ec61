"""The task that takes what somebody asked of a flow into the row, from where its process is told."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from celery import Task
from pydantic_core import from_json

from masterflow.domain.errors import InputInvalid, SignatureInvalid
from masterflow.domain.events import parse_event
from masterflow.tasks.app import app
from masterflow.tasks.control.requests import RequestMessage, check_carried, read_request
from masterflow.tasks.delivery.task import deliver
from masterflow.tasks.inbox.admission import Admission, Door, refused_message
from masterflow.tasks.inbox.attempts import Attempt
from masterflow.tasks.queues import APPLY_REQUEST


@app.task(name=APPLY_REQUEST, bind=True)
def apply_request(task: "Task[..., None]", *args: Any, **fields: Any) -> None:
    """Apply a request; the keyword arguments are those of `RequestMessage`."""
    deliver(task, args, fields, admit=admit_request)


def admit_request(message_id: str, fields: Mapping[str, object], door: Door) -> Admission:
    """Return what may be applied of a request; nothing in it can raise, and what is refused stays refused."""
    now = datetime.now(UTC)
    try:
        message = read_request(fields)
        attempt = door.begin(message_id, message.verified(door.settings, now=now))
        return _admitted(message, attempt, now=now)
    except (InputInvalid, SignatureInvalid) as error:
        return refused_message(message_id, str(dict(fields)), error)


def _admitted(message: RequestMessage, attempt: Attempt, *, now: datetime) -> Admission:
    admission = Admission(attempt, message.client_account_id)
    try:
        items = from_json(message.events)
    except ValueError as error:
        raise InputInvalid(f"The request is no JSON: {error}.") from error
    for item in items if isinstance(items, list) else [items]:
        event = parse_event(item)
        check_carried(event, message.request_id)
        admission.admit(event, now=now)
    return admission
