"""Which of the six ways into the cloud suits a server: the first rule that holds decides."""

from collections.abc import Callable
from typing import Final, NamedTuple

from masterflow.scripts.sample_flow.cleansing import Server
from masterflow.scripts.sample_flow.inventory import classify
from masterflow.scripts.sample_flow.tech_debt import Debt

_BOUGHT_AS_A_SERVICE: Final = frozenset({"sharepoint", "confluence", "jira", "crm", "mail relay"})
_MANAGED_KINDS: Final = frozenset({"database", "cache", "message broker"})
_MANY_DEPENDENTS: Final = 5


class _Case(NamedTuple):
    server: Server
    debt: Debt
    dependents: int

    @property
    def is_bound_to_hardware(self) -> bool:
        return self.server.operating_system.startswith(("AIX", "Solaris"))


_RULES: Final[tuple[tuple[str, str, Callable[[_Case], bool]], ...]] = (
    (
        "retire",
        "it is out of support, outside production, and nothing depends on it",
        lambda case: (
            case.debt.is_out_of_support and not case.dependents and case.server.environment != "production"
        ),
    ),
    (
        "repurchase",
        "its application can be had as a service",
        lambda case: case.server.application.lower() in _BOUGHT_AS_A_SERVICE,
    ),
    (
        "retain",
        "its system does not run in the cloud, and much depends on it",
        lambda case: case.is_bound_to_hardware and case.dependents >= _MANY_DEPENDENTS,
    ),
    (
        "refactor",
        "its system does not run in the cloud, or is out of support under a critical application",
        lambda case: (
            case.is_bound_to_hardware
            or (case.debt.is_out_of_support and case.server.criticality == "critical")
        ),
    ),
    (
        "replatform",
        "its system must be replaced, or there is a managed service for its kind",
        lambda case: case.debt.is_out_of_support or classify(case.server) in _MANAGED_KINDS,
    ),
)


def choose(server: Server, debt: Debt, *, dependents: int) -> tuple[str, str]:
    """Return the strategy for a server and the reason for it."""
    case = _Case(server, debt, dependents)
    for strategy, reason, holds in _RULES:
        if holds(case):
            return strategy, reason
    return "rehost", "it can move as it is"
