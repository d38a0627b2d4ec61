"""The message that carries events from an outbox to a worker."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events of one client account, at most 500 of them and 1 MB; its fields are the task's arguments."""

    batch_id: str
    #: Whom the worker tells that the batch is committed.
    sender_id: str
    client_account_id: str
    #: The text of a JSON array of events, which is what the signature covers.
    events: str
    key_id: str | None = None
    #: Hexadecimal HMAC-SHA256.
    signature: str | None = None

    def kwargs(self) -> dict[str, str | None]:
        """Return the keyword arguments of the task."""
        return asdict(self)
