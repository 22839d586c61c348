"""What official models cost; Replicate's API tells no prices, so they are data here."""

import json
from collections.abc import Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Final

from llamakeep.domain import Price

_DATA = json.loads(
    files(__package__).joinpath("prices.json").read_text(encoding="utf-8"),
    parse_float=Decimal,
)
PRICES: Final[Mapping[str, Price]] = {
    model: Price(**price) for model, price in _DATA.items()
}
"""By the model's name, without a version."""
