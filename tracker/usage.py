"""What is reported of models: what a call cost, and what this process has counted of a flow."""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from pydantic import Field

from masterflow.domain import InputInvalid, SettingsInvalid
from masterflow.domain.counting import counters
from masterflow.domain.settings import Settings
from masterflow.domain.usage.amounts import NANO_PER_USD, NO_USAGE, Usage, nano_usd
from masterflow.domain.usage.budget import NO_BUDGET, Budget, new_budget
from masterflow.domain.usage.prices import ModelPrice, read_prices
from masterflow.tracker.outbox.process import process_delivery
from masterflow.tracker.report import refuse

#: US dollars; a text or a Decimal is taken exactly.
USD: TypeAlias = Decimal | float | str


class UsageSettings(Settings):
    """What models cost."""

    prices: Path | None = Field(
        None,
        validation_alias="ENRICHMENT_PRICES",
        description="a JSON file with US dollars per million tokens, by model",
    )


def used(
    model: str, calls: int, input_tokens: int | None, output_tokens: int | None, cost_usd: USD | None
) -> Usage:
    """Return what calls used; what cannot be priced is counted as such.

    Raises:
        InputInvalid: there was no call, or the cost is no amount.
    """
    if isinstance(calls, bool) or not isinstance(calls, int) or calls < 1:
        raise InputInvalid(f"{calls!r:.40} are no calls; pass how many there were, from 1.")
    tokens = input_tokens or 0, output_tokens or 0
    if cost_usd is not None:
        return Usage(calls, *tokens, nano_usd(cost_usd), 0)
    price = prices().get(model)
    if price is None:
        return Usage(calls, *tokens, 0, calls)
    return Usage(calls, *tokens, price.cost_nano_usd(*tokens), 0)


def used_here(flow_id: UUID | str) -> Usage:
    """Return what this process has counted of a flow."""
    total = counters.total(flow_id, "") if isinstance(flow_id, UUID) else ()
    return Usage(*total) if total else NO_USAGE


def budget_of(usd: USD | None, tokens: int | None) -> Budget:
    """Return a budget; bounds that are none are refused, and then there is none."""
    try:
        return new_budget(usd, tokens)
    except InputInvalid as problem:
        refuse(problem)
        return NO_BUDGET


def over_budget(budget: Budget, usage: Usage) -> str:
    """Return what was used of what may be: "It cost $5.2 of $5." or "It used 1200 of 1000 tokens."."""
    if budget.nano_usd is not None and usage.cost_nano_usd > budget.nano_usd:
        cost, bound = (Decimal(amount) / NANO_PER_USD for amount in (usage.cost_nano_usd, budget.nano_usd))
        return f"It cost ${cost:.6g} of ${bound:.6g}."
    return f"It used {usage.tokens} of {budget.tokens} tokens."


@cache
def prices() -> dict[str, ModelPrice]:
    """Return the price of each model that the user's table knows, read once; a table that is none says so."""
    try:
        path = UsageSettings().prices
        return read_prices(path.expanduser().read_text(encoding="utf-8")) if path else {}
    except (OSError, RuntimeError, ValueError, InputInvalid, SettingsInvalid) as problem:
        text = "Costs are unknown: ENRICHMENT_PRICES names no table of prices: %s"
        process_delivery.losses.log.warning("prices", text, problem)
        return {}
