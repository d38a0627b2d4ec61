"""What a flow used of models, as API, page and terminal show it: figures, who used them, and the budget."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel

from masterflow.domain.fleet.facts import NAME_CHARS
from masterflow.domain.json_shapes import as_map, number_of
from masterflow.domain.usage.amounts import NANO_PER_USD, Usage
from masterflow.domain.usage.budget import NO_BUDGET, budget_of

_MOST_MODELS: Final = 1_000


class UsageFigures(BaseModel):
    """Calls of models with their tokens and cost."""

    calls: int
    input_tokens: int
    output_tokens: int
    #: Null if it is not known of any call.
    cost_usd: float | None
    #: Calls whose cost is not known, and not in `cost_usd`.
    unpriced_calls: int = 0
    #: More processes reported than are kept apart, so there may have been more.
    at_least: bool = False


class ModelUsage(UsageFigures):
    """What one agent used of one model."""

    agent: str
    model: str


class AgentUsage(UsageFigures):
    """What one agent used of all models."""

    agent: str
    models: list[str]


class UsageView(UsageFigures):
    """What a whole flow used, and its agents of it; those that are not listed make up the rest."""

    #: One for each agent, those with the most calls first; `by_agent` has one for each of its models.
    agents: list[AgentUsage] = []
    by_agent: list[ModelUsage] = []
    budget_usd: float | None = None
    budget_tokens: int | None = None
    is_over_budget: bool = False


def usage_of(row: Mapping[Any, Any]) -> UsageView | None:
    """Return what a row says of usage and budget; None if it says nothing."""
    bounds = budget_of(as_map(row["budget"]))
    found = as_map(row["usage"])
    if not found and bounds == NO_BUDGET:
        return None
    by_agent = [
        ModelUsage(agent=agent[:NAME_CHARS], model=model[:NAME_CHARS], **_figures(as_map(figures)))
        for agent, models in as_map(row["agents_usage"]).items()
        for model, figures in as_map(models).items()
        if "calls" in as_map(figures)
    ]
    by_agent = sorted(by_agent, key=lambda one: (-one.calls, one.agent, one.model))[:_MOST_MODELS]
    usd = None if bounds.nano_usd is None else float(Decimal(bounds.nano_usd) / NANO_PER_USD)
    return UsageView(
        **_figures(found),
        agents=_totals(by_agent),
        by_agent=by_agent,
        budget_usd=usd,
        budget_tokens=bounds.tokens,
        is_over_budget=is_over_budget(row),
    )


def _totals(by_agent: Iterable[ModelUsage]) -> list[AgentUsage]:
    agents: dict[str, list[ModelUsage]] = {}
    for one in by_agent:
        agents.setdefault(one.agent, []).append(one)
    found = [
        AgentUsage(
            agent=agent,
            models=[one.model for one in several],
            calls=sum(one.calls for one in several),
            input_tokens=sum(one.input_tokens for one in several),
            output_tokens=sum(one.output_tokens for one in several),
            cost_usd=_sum([one.cost_usd for one in several if one.cost_usd is not None]),
            unpriced_calls=sum(one.unpriced_calls for one in several),
            at_least=any(one.at_least for one in several),
        )
        for agent, several in agents.items()
    ]
    return sorted(found, key=lambda one: (-one.calls, one.agent))


def _sum(costs: Sequence[float]) -> float | None:
    """Return what costs come to, to the billionth of a dollar; None if there are none."""
    return number_of(float(Decimal(sum(map(_nano, costs))) / NANO_PER_USD)) if costs else None


def is_over_budget(row: Mapping[Any, Any]) -> bool:
    """Return whether a row says that its flow used more than its budget."""
    found = _figures(as_map(row["usage"]))
    amounts = found["calls"], found["input_tokens"], found["output_tokens"], _nano(found["cost_usd"])
    return budget_of(as_map(row["budget"])).is_exceeded_by(Usage(*amounts, found["unpriced_calls"]))


def cost(figures: UsageFigures) -> str:
    """Return a cost in words: `$0.0042`, or that it is not known, of some calls or of all."""
    if figures.cost_usd is None:
        return "cost unknown" if figures.calls else "$0"
    shown = f"{'at least ' if figures.at_least else ''}{_dollars(figures.cost_usd)}"
    return f"{shown} + {figures.unpriced_calls:,} unpriced" if figures.unpriced_calls else shown


def calls(figures: UsageFigures) -> str:
    """Return a number of calls, or that it is one from below."""
    return f"{'at least ' if figures.at_least else ''}{figures.calls:,}"


def used(figures: UsageFigures) -> str:
    """Return figures in words: `3 calls, 99 tokens, $0.0042`."""
    tokens = figures.input_tokens + figures.output_tokens
    word = "call" if figures.calls == 1 else "calls"
    return f"{calls(figures)} {word}, {tokens:,} {'token' if tokens == 1 else 'tokens'}, {cost(figures)}"


def budget(view: UsageView) -> str:
    """Return a budget in words: `$5 and 100,000 tokens`; nothing where there is none."""
    usd = None if view.budget_usd is None else _dollars(view.budget_usd)
    tokens = None if view.budget_tokens is None else f"{view.budget_tokens:,} tokens"
    return " and ".join(filter(None, (usd, tokens)))


def _dollars(usd: float) -> str:
    """Return dollars to the cent, or where that would say nothing to three digits."""
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${Decimal(f'{usd:.3g}').normalize():f}"


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: _count(found.get(name)) for name in ("calls", "input_tokens", "output_tokens")}
    return {
        **counts,
        "cost_usd": number_of(found.get("cost_usd")),
        "unpriced_calls": _count(found.get("unpriced_calls")),
        "at_least": found.get("at_least") is True,
    }


def _count(value: object) -> int:
    number = number_of(value)
    return int(number) if number is not None and 0 <= number < 10**18 else 0


def _nano(usd: float | None) -> int:
    return round(Decimal(str(usd)) * NANO_PER_USD) if usd is not None and usd >= 0 else 0
