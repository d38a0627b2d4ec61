"""How many messages wait in a queue, whatever the broker is."""

from typing import Any

from kombu import Connection

from masterflow.tasks.queues import speaks_amqp


def waiting(connection: Connection, queue_name: str) -> int:
    """Return how many messages of a queue no worker has taken yet; an error of the broker passes."""
    channel: Any
    with connection.channel() as channel:
        # On Redis declaring does nothing; asking passively fails there, for kombu 5.7 forgets the prefix.
        is_passive = speaks_amqp(connection.as_uri())
        return int(channel.queue_declare(queue_name, passive=is_passive).message_count)
