"""Tells an outbox that its batch is committed, and never before that."""

import json
from typing import Any, Final

from masterflow.tasks.queues import KEY_PREFIX

# A sender that has not fetched them for an hour is gone; who adopts its outbox sends the batch again.
_KEPT_S: Final = 3600


def write_confirmation(pipeline: Any, sender_id: str, batch_id: str, *, counts: dict[str, int]) -> None:
    """Confirm one batch, along with a Redis pipeline.

    `counts` is {"applied", "repeated", "dead"}, in events.
    """
    key = f"{KEY_PREFIX}confirmed:{sender_id}"
    pipeline.rpush(key, json.dumps({"batch_id": batch_id} | counts))
    pipeline.expire(key, _KEPT_S)
