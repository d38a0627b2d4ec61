"""Usage: each counter's greatest amounts, summed above what stood there before; see docs/adr/0018."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from masterflow.domain.events import UsageReported
from tests.support.model.jsonb import SQL_NULL

_FLOW = ""
_SEPARATOR = "\x1f"
_MOST_NAMES = 32
_FIGURES = ("calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls")
_COST = _FIGURES.index("cost_usd")

Amounts = list[Any]
Figures = dict[str, Any]


class Usages:
    """What a row shows and knows of usage, by name: the flow's is empty, others are an agent and a model."""

    def __init__(self, agents: Any, flow: Any, kept: dict[str, Any]) -> None:
        self.agents = _object(agents)
        self.flow = _object(flow)
        self.kept = dict(kept)

    def take(self, events: Iterable[UsageReported], *, since: str) -> None:
        """Count events, then bound what is kept and show the sums."""
        counts: dict[str, _Count] = {}
        for event in events:
            counted = event.counted
            name = f"{event.agent}{_SEPARATOR}{event.model}"
            for each, total in ((_FLOW, counted.flow), (name, counted.agent)):
                if each not in counts:
                    counts[each] = _Count(each, self._amounts(each), self._base(each), self.kept.get(each))
                lower = [upper - used for upper, used in zip(total, event.used, strict=True)]
                counts[each].add(counted.by, list(total), lower, event.stamp[:16], since=since)
        # What is known already is neither shown nor in the way of others.
        counts = {name: count for name, count in counts.items() if count.highest}
        evicted = sorted({*self.kept, *counts} - {_FLOW}, key=str.encode)[_MOST_NAMES:]
        for each, count in counts.items():
            figures = count.figures()
            self.kept[each] = count.kept()
            if each == _FLOW:
                self.flow |= figures
            else:
                agent, model = each.split(_SEPARATOR)
                self.agents[agent] = _object(self.agents.get(agent)) | {model: figures}
        for each in evicted:
            self._leave_out(each)

    def _leave_out(self, name: str) -> None:
        self.kept.pop(name, None)
        agent, model = name.split(_SEPARATOR)
        models = _object(self.agents.get(agent))
        models.pop(model, None)
        self.agents = {key: value for key, value in self.agents.items() if key != agent}
        self.agents |= {agent: models} if models else {}

    def _amounts(self, name: str) -> Amounts:
        if name == _FLOW:
            return _amounts_of(self.flow)
        agent, model = name.split(_SEPARATOR)
        models = self.agents.get(agent)
        return _amounts_of(models.get(model) if isinstance(models, dict) else None)

    def _base(self, name: str) -> Amounts:
        own = self._amounts(name)
        if name != _FLOW:
            return own
        found = [models for models in self.agents.values() if isinstance(models, dict)]
        of_agents = [_amounts_of(figures) for models in found for figures in models.values()]
        return [max(part, sum(parts)) for part, *parts in zip(own, *of_agents, strict=True)]


class _Count:
    def __init__(self, name: str, shown: Amounts, base: Amounts, kept: dict[str, Any] | None) -> None:
        kept = kept or {}
        self._most = 32 if name == _FLOW else 16
        self._shown = shown
        self._base: Amounts = kept.get("base", base)
        self.highest: dict[str, Amounts] = dict(kept.get("by", {}))
        self._lowest: dict[str, Amounts] = dict(kept.get("from", {}))

    def add(self, by: str, upper: Amounts, lower: Amounts, at: str, *, since: str) -> None:
        if at <= since:
            return
        self.highest[by] = max(upper, self.highest.get(by, upper))
        if since:
            self._lowest[by] = min(lower, self._lowest.get(by, lower))
        # Bounding later is bounding now: what has gone can only come back greater.

    def kept(self) -> dict[str, Any]:
        self._bound()
        kept: dict[str, Any] = {"base": self._base, "by": self.highest}
        if self._lowest:
            kept["from"] = self._lowest
        return kept | ({"at_least": True} if self._is_full else {})

    def figures(self) -> Figures:
        self._bound()
        sums = list(self._base)
        for amounts, sign in ((self.highest, 1), (self._lowest, -1)):
            for each in amounts.values():
                sums = [total + sign * part for total, part in zip(sums, each, strict=True)]
        if not self._is_full:
            sums = list(map(max, sums, self._shown))
        figures = dict(zip(_FIGURES, map(_plain, sums), strict=True))
        is_unknown = not sums[_COST] and sums[-1]
        figures["cost_usd"] = None if is_unknown else _plain(Decimal(sums[_COST]).scaleb(-9))
        return figures | ({"at_least": True} if self._is_full else {})

    @property
    def _is_full(self) -> bool:
        return len(self.highest) >= self._most

    def _bound(self) -> None:
        by_name = sorted(self.highest)
        ranked = sorted(by_name, key=lambda by: self.highest[by], reverse=True)[: self._most]
        self.highest = {by: self.highest[by] for by in ranked}
        self._lowest = {by: lower for by, lower in self._lowest.items() if by in self.highest}


def _object(found: Any) -> dict[str, Any]:
    """Return what stands there as an object; what is none stands in one."""
    if isinstance(found, dict):
        return dict(found)
    return {} if found is None or found is SQL_NULL else {"legacy": found}


def _amounts_of(found: Any) -> Amounts:
    figures = found if isinstance(found, dict) else {}
    amounts = [figures.get(name) for name in _FIGURES]
    numbers = [_number(amount) for amount in amounts]
    numbers[_COST] = Decimal(numbers[_COST]).scaleb(9)
    return [_plain(number) for number in numbers]


def _number(found: Any) -> Any:
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
        return 0
    return Decimal(repr(found)) if isinstance(found, float) else found


def _plain(number: Any) -> Any:
    """Return a number without zeros at its end."""
    return int(number) if number == int(number) else Decimal(number).normalize()
