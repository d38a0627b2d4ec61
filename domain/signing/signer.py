"""One key of a holder, with which a worker goes on to sign what it writes about a message."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from masterflow.domain.signing.signatures import Keys, Purpose, Signature, is_proof, sign, sign_as


@dataclass(frozen=True, slots=True)
class Signer:
    """A holder's keys, of which the named one signs, else the newest; without any it takes everything."""

    keys: Keys = field(default_factory=dict)
    #: The key that the other side is known to hold, because it has signed with it.
    key_id: str | None = None

    def sign(self, purpose: Purpose, fields: Iterable[str | int | bytes]) -> Signature | None:
        """Return a proof of these fields; None without keys."""
        if self.key_id in self.keys:
            return sign_as(purpose, fields, self.keys, str(self.key_id))
        return sign(purpose, fields, self.keys)

    def accepts(
        self, purpose: Purpose, fields: Iterable[str | int | bytes], signature: Signature | None
    ) -> bool:
        """Return whether one of the keys has signed these fields, or there are none that could have."""
        return not self.keys or is_proof(purpose, fields, self.keys, signature)
