"""The proof that beat has sent a periodic task, by which each worker takes it once.

It is the keyword `proof` of such a task, where the operators have keys: {"until": microseconds since 1970,
"key_id", "signature"}. Without keys it has no arguments, and anybody may send it.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from masterflow.domain.clock import MAX_AHEAD, to_microseconds
from masterflow.domain.errors import InputInvalid, SignatureInvalid
from masterflow.domain.signing.signatures import Keys, Signature, sign, verify
from masterflow.tasks.operation_proofs import PROOF

# In microseconds: beat's clock may be behind by so much.
_SLACK: Final = int(MAX_AHEAD.total_seconds() * 1_000_000)


def signed_run(task: str, keys: Keys, *, valid_s: float) -> dict[str, Any]:
    """Return the keyword arguments of a periodic task that is sent now; none without keys."""
    until = time.time_ns() // 1000 + int(valid_s * 1_000_000)
    proof = sign("run", (task, until), keys)
    if proof is None:
        return {}
    return {PROOF: {"until": until, "key_id": proof.key_id, "signature": proof.value}}


class Runs:
    """The runs that a worker has taken; with no keys it takes all."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        #: Until when each could be sent again, by its signature. Only genuine ones stand here.
        self._taken: dict[str, int] = {}

    def take(
        self,
        task: str,
        arguments: list[Any],
        kwargs: Mapping[str, Any],
        *,
        comes_back: bool = False,
        now: datetime,
    ) -> bool:
        """Accept a periodic task; return whether it is due: one that the broker brings back is done.

        Raises:
            InputInvalid: it has arguments that beat gives to none.
            SignatureInvalid: keys are set, and no holder of one has sent it, or not of late, or only once.
        """
        if arguments or kwargs.keys() - {PROOF}:
            # Python would refuse to call it, and Celery log that and let the message go.
            raise InputInvalid(f"{task} takes no such arguments.")
        if not self._keys:
            return True
        match kwargs.get(PROOF):
            case {"until": int(until), "key_id": str(key_id), "signature": str(value)}:
                verify("run", (task, until), self._keys, Signature(key_id, value))
            case _:
                raise SignatureInvalid(f"{task} bears no proof: beat needs ENRICHMENT_WORKER_KEYS too.")
        oldest = to_microseconds(now) - _SLACK
        if until < oldest:
            raise SignatureInvalid(f"{task} was signed for a time that is over.")
        self._taken = {proof: end for proof, end in self._taken.items() if end >= oldest}
        is_first = value not in self._taken
        if not is_first and not comes_back:
            raise SignatureInvalid(f"{task} has come before: somebody has sent it once more.")
        self._taken[value] = until
        return is_first
