"""What models cost, from a table that the user keeps."""

import json
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from masterflow.domain.errors import InputInvalid

_TOKENS_PER_PRICE: Final = 1_000_000
_NANO_PER_USD: Final = 10**9

_EXAMPLE: Final = '{"my-model": {"input": 0.15, "output": 0.6}}'

Price = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ModelPrice(BaseModel):
    """US dollars per million tokens that go into a model and that come out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Price
    output: Price

    def cost_nano_usd(self, input_tokens: int, output_tokens: int) -> int:
        """Return what these tokens cost, in billionths of a dollar, the last one rounded half to even."""
        exact = self.input * input_tokens + self.output * output_tokens
        return round(exact * _NANO_PER_USD / _TOKENS_PER_PRICE)


_prices: TypeAdapter[dict[str, ModelPrice]] = TypeAdapter(dict[str, ModelPrice])


def read_prices(text: str) -> dict[str, ModelPrice]:
    """Return the prices by model that a JSON text holds, such as `{"m": {"input": 0.15, "output": 0.6}}`.

    Raises:
        InputInvalid: it is no such table; the message names what is wrong.
    """
    try:
        return _prices.validate_python(json.loads(text, parse_float=Decimal))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise InputInvalid(
            f"{place:.120}: {first['msg']}; a price is per million tokens: {_EXAMPLE}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputInvalid(f"it is no JSON ({error!s:.80}); write {_EXAMPLE}") from error
