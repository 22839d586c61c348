"""What official models cost; Replicate's API tells no prices, so they are data here."""

import json
from collections.abc import Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Final

from llamakeep.domain import Usage

_MILLION = 1_000_000
PRICES: Final[Mapping[str, Mapping[str, Decimal]]] = json.loads(
    files(__package__).joinpath("prices.json").read_text(encoding="utf-8"),
    parse_float=Decimal,
)
"""US dollars per million tokens, by model; `input` and `output`."""


def cost(model: str, usage: Usage) -> Decimal | None:
    """Return US dollars, or `None` where the price or the usage is not known."""
    price = PRICES.get(model.partition(":")[0])
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return (
        price["input"] * usage.input_tokens + price["output"] * usage.output_tokens
    ) / _MILLION
