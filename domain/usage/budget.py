"""What a flow may use, as its row holds it, and whether it has used more."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from masterflow.domain.errors import InputInvalid
from masterflow.domain.usage.amounts import NANO_PER_USD, Usage, nano_usd

#: Key of `flow_metadata` that holds the budget, as `{"usd": 5.0, "tokens": 100000}`.
BUDGET_KEY: Final = "usage_budget"


class Budget(NamedTuple):
    """The most that a flow may cost and the most tokens that it may use; what is None has no bound."""

    nano_usd: int | None = None
    tokens: int | None = None

    def is_exceeded_by(self, usage: Usage) -> bool:
        """Return whether this is more than the budget; what calls of unknown cost cost is not in it."""
        return (self.nano_usd is not None and usage.cost_nano_usd > self.nano_usd) or (
            self.tokens is not None and usage.tokens > self.tokens
        )

    def row_metadata(self) -> dict[str, Any]:
        """Return what the row's metadata says of it; nothing where there is no bound."""
        usd = None if self.nano_usd is None else float(Decimal(self.nano_usd) / NANO_PER_USD)
        bounds = {name: bound for name, bound in (("usd", usd), ("tokens", self.tokens)) if bound is not None}
        return {BUDGET_KEY: bounds} if bounds else {}


NO_BUDGET: Final = Budget()


def new_budget(usd: Decimal | float | str | None, tokens: int | None) -> Budget:
    """Return the budget of these bounds.

    Raises:
        InputInvalid: one of them is no amount.
    """
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0):
        raise InputInvalid(f"{tokens!r:.40} is no number of tokens; pass a whole number from 0.")
    return Budget(None if usd is None else nano_usd(usd), tokens)


def budget_of(found: Mapping[str, object]) -> Budget:
    """Return the budget that a row's metadata holds; what is no amount is no bound."""
    try:
        usd, tokens = found.get("usd"), found.get("tokens")
        return new_budget(
            usd if isinstance(usd, int | float) and not isinstance(usd, bool) else None,
            tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
        )
    except InputInvalid:
        return NO_BUDGET
