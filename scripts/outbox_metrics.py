"""What waits in the outboxes of this host, as Prometheus reads it from a file."""

from collections.abc import Sequence
from typing import Final

from masterflow.tracker.outbox.spool import FolderStatus

_HELP: Final = {
    "events": "Events that no worker has confirmed yet.",
    "bytes": "Bytes they take on disk.",
    "oldest_seconds": "Seconds that the oldest of them has waited.",
}


def outbox_metrics(folders: Sequence[FolderStatus]) -> str:
    """Return the sums over the outboxes of living processes, and over those that dead ones left."""
    lines = []
    for name, help_text in _HELP.items():
        lines += [f"# HELP enrichment_outbox_{name} {help_text}", f"# TYPE enrichment_outbox_{name} gauge"]
        for alive, word in ((True, "yes"), (False, "no")):
            value = _values([folder for folder in folders if folder.has_owner is alive])[name]
            lines.append(f'enrichment_outbox_{name}{{alive="{word}"}} {value}')
    return "\n".join(lines) + "\n"


def _values(folders: Sequence[FolderStatus]) -> dict[str, float]:
    return {
        "events": sum(folder.records for folder in folders),
        "bytes": sum(folder.bytes for folder in folders),
        "oldest_seconds": max((folder.oldest_age_s for folder in folders if folder.records), default=0.0),
    }
