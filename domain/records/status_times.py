"""When a flow entered its status, as the merge's stamps tell it."""

from masterflow.domain.json_shapes import as_map


def status_since_us(stamps: object, status: str) -> int | None:
    """Return when a status began, in microseconds since 1970, from stamps: 16 digits of them, then an id.

    `stamps` is `flow_metadata._enrichment.status`.
    """
    found = as_map(stamps)
    pairs = [
        pair
        for pair in (found.get("latest"), found.get("final"))
        if isinstance(pair, list) and len(pair) == 2
    ]
    times = [pair[0] for pair in pairs if pair[1] == status]
    if status == "failed":
        times.append(found.get("failed"))
    elif status == "processing":
        times.append(found.get("reopened"))
    digits = [text[:16] for text in times if isinstance(text, str) and text[:16].isdecimal()]
    return int(max(digits)) if digits else None
