"""Every key of this project in Redis, by the one prefix that a Redis user may be limited to."""

from typing import Final
from uuid import UUID

#: What every key begins with; kombu puts it before its own.
KEY_PREFIX: Final = "enrichment:"

#: The override of the feature flag: `on` or `off`.
FLAG_KEY: Final = f"{KEY_PREFIX}flag"

#: A hash: what workers count.
COUNTERS_KEY: Final = f"{KEY_PREFIX}counters"

#: A hash: how many events workers skipped while enrichment was off, and when the last one was.
SKIPPED_KEY: Final = f"{KEY_PREFIX}skipped"

#: A sorted set of messages that wait for the row of a flow, by the time they are due, and its lock.
PARKED_KEY: Final = f"{KEY_PREFIX}parked"
PARKED_LOCK_KEY: Final = f"{KEY_PREFIX}parked_lock"

#: A sorted set: the names of all notes that processes leave, each with the time it was last written.
NOTES_KEY: Final = f"{KEY_PREFIX}signs"

#: A sorted set: the senders that hold flows, each with the server's time of its last sign.
ALIVE_KEY: Final = f"{KEY_PREFIX}alive"

#: A hash: what the watch knows between its rounds.
WATCH_KEY: Final = f"{KEY_PREFIX}watch"
#: Its field with the server's time of the last round.
ROUND_AT: Final = "round_at"
WATCH_LOCK_KEY: Final = f"{KEY_PREFIX}watch_lock"

#: A hash: what waits in each outbox, by the name of its sender. An orchestrator may write this one alone.
OUTBOXES_KEY: Final = f"{KEY_PREFIX}outboxes"

#: kombu's hash of messages that workers have taken and not acknowledged.
UNACKNOWLEDGED_KEY: Final = f"{KEY_PREFIX}unacked"

#: How the names of notes begin: of a process that lives, of what waits in an outbox.
HEARTBEAT_NOTE: Final = "heartbeat:"
OUTBOX_NOTE: Final = "outbox:"


def sender_name(username: str | None, sender_id: str) -> str:
    """Return under which name a sender is confirmed: it begins with its user of Redis, if that has a name.

    So a rule such as `~enrichment:answers:crew.*` lets a user see its own confirmations and no others.
    """
    return f"{username}.{sender_id}" if username and username != "default" else sender_id


def note_key(name: str) -> str:
    """Return the key of a note by its name."""
    return f"{KEY_PREFIX}{name}"


def queue_key(queue: str) -> str:
    """Return kombu's list of a queue's messages."""
    return f"{KEY_PREFIX}{queue}"


def answers_key(sender_id: str) -> str:
    """Return the hash of what workers answer to one sender about its batches, by their ids."""
    return f"{KEY_PREFIX}answers:{sender_id}"


def former_confirmations_key(sender_id: str) -> str:
    """Return the list of the batches that are committed, of a sender that knows no proofs."""
    return f"{KEY_PREFIX}confirmed:{sender_id}"


def holds_key(sender_id: str) -> str:
    """Return the hash of the flows that one sender holds."""
    return f"{KEY_PREFIX}holds:{sender_id}"


def overdue_key(event_id: UUID) -> str:
    """Return the key that says that a passed deadline was told."""
    return f"{KEY_PREFIX}overdue:{event_id}"


def notices_key(what: str, receiver: str = "") -> str:
    """Return a key of the notices: of a receiver, as masterflow.tasks.notices.queue names it, or of all."""
    return f"{KEY_PREFIX}notices:{what}:{receiver}" if receiver else f"{KEY_PREFIX}notices:{what}"


def attempt_key(batch_id: str) -> str:
    """Return the text that says how often a batch was tried."""
    return f"{KEY_PREFIX}attempt:{batch_id}"


def request_key(client_account_id: UUID, request_id: UUID) -> str:
    """Return the key of when something was asked, so that asking it again is the same."""
    return f"{KEY_PREFIX}request:{client_account_id}:{request_id}"


def answering_key(question_id: UUID) -> str:
    """Return the key of whose answer to a question is on its way."""
    return f"{KEY_PREFIX}answering:{question_id}"


def refused_key(batch_id: str, key_id: str, digest: str) -> str:
    """Return the mark that there are letters about a batch that could not be verified."""
    return attempt_key(f"refused:{batch_id}:{key_id[:100]}:{digest}")


def backfill_key(report_to: str) -> str:
    """Return the hash of a backfill's summaries, one field per chunk."""
    return f"{KEY_PREFIX}backfill:{report_to}"


def skipped_key(client_account_id: UUID, engagement_id: UUID) -> str:
    """Return the hash of how many events of each flow were skipped while enrichment was off."""
    return f"{SKIPPED_KEY}:{client_account_id}:{engagement_id}"


def told_key(client_account_id: UUID, engagement_id: UUID) -> str:
    """Return the stream of what workers tell the processes of one tenant that their flows are to do."""
    return f"{KEY_PREFIX}told:{client_account_id}:{engagement_id}"


def cache_key(client_account_id: UUID, engagement_id: UUID, flow_id: UUID, *, name: str) -> str:
    """Return the key of an encrypted value of a flow."""
    return f"{KEY_PREFIX}cache:{client_account_id}:{engagement_id}:{flow_id}:{name}"


def is_of_another_kind(answer: object) -> bool:
    """Return whether Redis refused a command because a key holds another kind of value than ours."""
    return isinstance(answer, Exception) and str(answer).startswith("WRONGTYPE")
