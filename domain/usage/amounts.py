"""Amounts of usage: whole numbers that add up without rounding, dollars as billionths."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from masterflow.domain.counting import CounterId
from masterflow.domain.errors import InputInvalid

#: A model's price per million tokens has up to three decimals, so that a token costs whole billionths.
NANO_PER_USD: Final = 10**9

_MOST: Final = 10**15

Amount = Annotated[int, Field(ge=0, le=_MOST)]


class Usage(NamedTuple):
    """So many calls of models, their tokens and their cost; in JSON a list, in this order."""

    calls: Amount
    input_tokens: Amount
    output_tokens: Amount
    cost_nano_usd: Amount
    #: Of the calls, those whose cost is not known and so not among `cost_nano_usd`.
    unpriced_calls: Amount

    def plus(self, other: Self) -> "Usage":
        """Return the two together."""
        return Usage(*map(int.__add__, self, other))

    def minus(self, other: Self) -> "Usage":
        """Return this without the other, which is part of it."""
        return Usage(*map(int.__sub__, self, other))

    @property
    def tokens(self) -> int:
        """Return the tokens that went in and came out."""
        return self.input_tokens + self.output_tokens


#: Nothing was used.
NO_USAGE: Final = Usage(0, 0, 0, 0, 0)


class UsageCounted(BaseModel):
    """How much a process has counted so far, with this report: of this agent and model, and of the flow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: CounterId
    agent: Usage
    flow: Usage


def nano_usd(usd: Decimal | float | str) -> int:
    """Return dollars as billionths, the last one rounded half to even.

    Raises:
        InputInvalid: it is no amount from 0 to a million dollars.
    """
    try:
        amount = Decimal(str(usd))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= _MOST // NANO_PER_USD:
        raise InputInvalid(f"{usd!r:.40} is no cost; pass US dollars from 0 to 1000000.")
    return round(amount * NANO_PER_USD)
