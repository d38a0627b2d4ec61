"""The entrance: what every hook calls when something happened."""

import logging
from typing import Any
from uuid import UUID

from masterflow.domain import FlowContext, InputInvalid, SettingsInvalid
from masterflow.domain.event_text import event_text
from masterflow.domain.events import Event
from masterflow.tracker.outbox.process import process_delivery

logger = logging.getLogger(__name__)


def report(kind: type[Event], context: FlowContext, flow_id: UUID | str, **fields: Any) -> None:
    """Keep an event of something that just happened until a worker has applied it.

    Costs about as much as a log line, waits for nothing but a local write, and raises nothing: what
    makes no sense is logged and counted. It is made for any thread and any event loop.

    Raises:
        InputInvalid: the report makes no sense; only with ENRICHMENT_STRICT=true, for tests.
    """
    try:
        event = event_text(kind, context, flow_id, **fields)
        process_delivery.append(kind.lane, event)
    except OSError as error:
        process_delivery.losses.note("disk", error)
    except SettingsInvalid as error:
        process_delivery.losses.note("settings", error)
    except Exception as error:  # Nothing that a hook is given may stop its flow.
        process_delivery.losses.count("invalid")
        if process_delivery.is_strict:
            raise InputInvalid(str(error)) from error
        logger.warning(
            "A report of %s makes no sense and is left out: %s: %s",
            getattr(kind, "__name__", type(kind).__name__),
            type(error).__name__,
            error,
        )
