"""Fields that requests of several doors have, with the same bounds."""

from typing import Annotated

from pydantic import Field

from llamakeep.api.text import Text

MOST_TOKENS = 1_000_000

ModelName = Annotated[Text, Field(min_length=1, max_length=256)]
MaxTokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
MinTokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Temperature = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]
TopP = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=0, le=1_000_000)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Metadata = Annotated[
    dict[
        Annotated[Text, Field(min_length=1, max_length=64)],
        Annotated[Text, Field(max_length=512)],
    ],
    Field(max_length=16),
]
