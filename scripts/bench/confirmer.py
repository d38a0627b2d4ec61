"""A worker that confirms every batch and applies none, so that a benchmark has both cores to itself."""

import base64
import json
import sys
import zlib
from typing import Any

import redis

from masterflow.domain.redis_keys import answers_key, queue_key
from masterflow.scripts.terminal.entrance import run_program
from masterflow.tasks.queues import ENRICHMENT_QUEUE


def main(redis_url: str) -> None:
    """Confirm until the broker is gone."""
    with redis.Redis.from_url(redis_url) as client:
        while True:
            found: Any = client.brpop([queue_key(ENRICHMENT_QUEUE)], timeout=1)
            if not found:
                continue
            arguments = _arguments(json.loads(found[1]))
            answer = json.dumps({"applied": 1, "repeated": 0, "dead": 0})
            client.hset(answers_key(arguments["sender_id"]), arguments["batch_id"], answer)


def _arguments(message: dict[str, Any]) -> dict[str, str]:
    body = base64.b64decode(message["body"])
    if message["headers"].get("compression"):
        body = zlib.decompress(body)
    arguments: dict[str, str] = json.loads(body)[1]
    return arguments


if __name__ == "__main__":
    run_program(lambda: main(sys.argv[1]))
