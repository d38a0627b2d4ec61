"""Who is compared, each in the form that serves it best, and what is said of each for fairness."""

from typing import Final

from masterflow.scripts.bench.comparison.contest import Contestant

OURS: Final = Contestant("this project", "ours", workers="ours", is_ours=True)

#: What needs no packages but ours: what one would write by hand.
BY_HAND: Final = (
    Contestant("one Celery task per event", "celery_tasks", lanes=2, workers="baseline"),
    Contestant("awaited repository writes", "repository_writes", lanes=8),
)

#: What others have made; their packages are in an environment of their own.
PEERS: Final = (
    Contestant("LangGraph, PostgresSaver, sync", "langgraph_graphs", "sync", 2, 4, needs_peers=True),
    Contestant("LangGraph, PostgresSaver, async", "langgraph_graphs", "async", 2, 4, needs_peers=True),
    Contestant("DBOS steps", "dbos_workflows", "", 2, 4, needs_peers=True),
)

#: What is no equal, and stands apart: it keeps nothing, or not in Postgres, or is too slow for great loads.
ASIDE: Final = (
    Contestant("crewAI, SQLite persistence", "crewai_flows", "sqlite", needs_peers=True),
    Contestant("Prefect 3, own server on SQLite", "prefect_flows", needs_peers=True),
    Contestant("LangGraph that keeps nothing", "langgraph_graphs", "none", needs_peers=True),
    Contestant("crewAI that keeps nothing", "crewai_flows", "none", needs_peers=True),
)

#: Packages whose versions are told.
PACKAGES: Final = (
    "celery",
    "crewai",
    "dbos",
    "langgraph",
    "langgraph-checkpoint-postgres",
    "prefect",
    "psycopg",
    "redis",
    "sqlalchemy",
)
