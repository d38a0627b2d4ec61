"""Sorts servers into kinds of assets, and adds up what there is."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from masterflow.scripts.sample_flow.cleansing import Server

#: Kind of asset: words that give it away in a role or a host name.
_KINDS: Final = {
    "database": ("database", "db", "sql", "oracle"),
    "web server": ("web", "www", "nginx", "apache"),
    "message broker": ("broker", "queue", "mq", "kafka"),
    "cache": ("cache", "cch", "redis"),
    "file server": ("file", "fil", "nas"),
    "application server": ("application", "app", "api"),
}


def classify(server: Server) -> str:
    """Return the kind of a server: by its role, else by the parts of its name."""
    for words in (server.role.split(), server.hostname.split("-")):
        for kind, signs in _KINDS.items():
            if not set(signs).isdisjoint(words):
                return kind
    return "other"


def summarize(servers: Iterable[Server]) -> dict[str, object]:
    """Return the totals of an inventory: counts by kind and environment, cores, memory, storage, cost."""
    listed = list(servers)
    return {
        "servers": len(listed),
        "applications": len({server.application for server in listed if server.application}),
        "by_kind": dict(Counter(map(classify, listed)).most_common()),
        "by_environment": dict(Counter(server.environment for server in listed).most_common()),
        "cpu_cores": sum(server.cpu_cores or 0 for server in listed),
        "ram_gb": round(sum(server.ram_gb or 0 for server in listed)),
        "storage_gb": round(sum(server.storage_gb or 0 for server in listed)),
        "monthly_cost": round(sum(server.monthly_cost or 0 for server in listed), 2),
    }
