"""The message that carries events from an outbox to a worker."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events of one client account, at most 500 of them and 1 MB."""

    batch_id: str
    #: Whom the worker tells that the batch is committed.
    sender_id: str
    client_account_id: str
    #: The text of a JSON array of events, which is what the signature covers.
    events: str
    key_id: str | None = None
    #: Hexadecimal HMAC-SHA256.
    signature: str | None = None
    #: For people who look at the message; no part of it.
    event_count: int = 0
    flow_ids: tuple[str, ...] = ()

    def kwargs(self) -> dict[str, str | None]:
        """Return the keyword arguments of the task."""
        return {
            "batch_id": self.batch_id,
            "sender_id": self.sender_id,
            "client_account_id": self.client_account_id,
            "events": self.events,
            "key_id": self.key_id,
            "signature": self.signature,
        }
