"""How many messages wait in a queue, whatever the broker is."""

from typing import Any

from kombu import Connection
from kombu.exceptions import ChannelError


def waiting(connection: Connection, queue_name: str) -> int:
    """Return how many messages of a queue no worker has taken yet; an error of the broker passes."""
    channel: Any
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue_name, passive=True).message_count)
        except ChannelError:
            # On Redis, a queue that is empty does not exist.
            return 0
