"""How fast the first page of the list comes, by each filter and order, and its plans, over many flows."""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from masterflow.repository.status.flow_list import NEWEST_FIRST
from masterflow.repository.status.wanted import FlowFilter
from masterflow.scripts.bench.http_load import Connections, percentile

#: What the first page of a list is asked for, one word at a time; some are found at once, some never.
QUERIES: Final[dict[str, dict[str, str]]] = {
    "no filter": {},
    "status": {"status": "failed"},
    "status that is rare": {"status": "processing"},
    "status that none has": {"status": "paused"},
    "type": {"type": "discovery"},
    "type that none has": {"type": "assessment"},
    "phase": {"phase": "Asset inventory"},
    "phase that none has": {"phase": "nowhere"},
    "user": {"user": "user 10"},
    "user that there is not": {"user": "nobody"},
    "text": {"text": "number 99"},
    "text that there is not": {"text": "no such words"},
    "created before long ago": {"until": "2026-01-01T00:00:00Z"},
    "lost": {"liveness": "lost"},
    "silent": {"liveness": "silent"},
    "overdue": {"overdue": "true"},
    "waiting": {"waiting": "true"},
    "cause": {"cause": "no such cause"},
    "ran": {"ran": "data import"},
    "ended": {"ended_since": "2026-01-01T00:00:00Z"},
    "metadata": {"meta.source": "nightly"},
    "sorted by changed": {"sort": "changed"},
    "sorted by duration": {"sort": "duration"},
    "sorted by errors": {"sort": "errors"},
    "sorted by cost": {"sort": "cost"},
}


def list_arguments(account: UUID, engagement: UUID, *, scanned: int = 51, **wanted: Any) -> dict[str, Any]:
    """Return what the statement of the list is told for a first page."""
    nothing = ("only_ids", "except_ids", "or_ids", "after_at", "after_id", "key", "key_id")
    return {
        **dict.fromkeys(nothing),
        **FlowFilter(**wanted).arguments,
        "client_account_id": account,
        "engagement_ids": [engagement],
        "sort": "created",
        "now_us": 0,
        "window": 2_000,
        "scanned": scanned,
        "most": 51,
    }


#: What the statement of the list is made of for a first page.
PARTS: Final = NEWEST_FIRST


async def measure_lists(port: int, tokens: dict[str, str], *, seconds: int, rate: int = 10) -> None:
    """Print figures for the accounts of these tokens, by the words for their size."""
    async with Connections(port) as connections:
        for size, token in tokens.items():
            print(f"\nThe first page of the list, {size} (p99 wanted: 100 ms):")
            for name, words in QUERIES.items():
                request = [(f"/api/v1/flows?{urlencode(words)}", token)]
                await connections.load(request, rate=rate, seconds=1)
                times = await connections.load(request, rate=rate, seconds=seconds)
                figures = ", ".join(f"p{at} {percentile(times, at):.0f} ms" for at in (50, 95, 99))
                print(f"  {name}: {len(times)} requests, {figures}", flush=True)
