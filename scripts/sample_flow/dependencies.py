"""The graph of which server depends on which: unknown targets, cycles, and what much depends on."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final

from masterflow.scripts.sample_flow.cleansing import Server

_MAX_CYCLES: Final = 100


@dataclass(frozen=True)
class DependencyGraph:
    """Servers by name with the known servers they depend on, and what was found among them."""

    edges: dict[str, tuple[str, ...]]
    unknown: dict[str, tuple[str, ...]]
    cycles: tuple[tuple[str, ...], ...]
    dependents: Counter[str]


def build_graph(servers: Iterable[Server]) -> DependencyGraph:
    """Return the graph of all dependencies between these servers."""
    wanted = {server.hostname: server.depends_on for server in servers}
    edges = {name: tuple(target for target in wanted[name] if target in wanted) for name in wanted}
    unknown = {name: tuple(target for target in wanted[name] if target not in wanted) for name in wanted}
    return DependencyGraph(
        edges=edges,
        unknown={name: targets for name, targets in unknown.items() if targets},
        cycles=_cycles(edges),
        dependents=Counter(target for targets in edges.values() for target in targets),
    )


def _cycles(edges: dict[str, tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Return one cycle after the other, each broken at its last edge before the next is looked for."""
    left = {name: list(targets) for name, targets in edges.items()}
    found: list[tuple[str, ...]] = []
    while len(found) < _MAX_CYCLES:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            cycle = tuple(reversed(error.args[1]))
            found.append(cycle[:-1])
            left[cycle[-2]].remove(cycle[-1])
        else:
            break
    return tuple(found)
