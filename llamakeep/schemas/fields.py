"""Types of request fields that several APIs share, with their bounds."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from llamakeep.domain.runs import LONGEST_END_USER
from llamakeep.schemas.text import SomeText, Text

MOST_TOKENS = 1_000_000
MOST_DIMENSIONS = 16 * 1024


def check_number(value: object) -> object:
    """Refuse `true` and `false`, which Pydantic would read as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("It has to be a number.")  # noqa: TRY004 - of a request
    return value


Integer = Annotated[int, BeforeValidator(check_number, json_schema_input_type=int)]
Number = Annotated[
    float,
    BeforeValidator(check_number, json_schema_input_type=float),
    Field(allow_inf_nan=False),
]

ModelName = Annotated[Text, Field(min_length=1, max_length=256)]
MaxTokens = Annotated[Integer, Field(ge=1, le=MOST_TOKENS)]
MinTokens = Annotated[Integer, Field(ge=0, le=MOST_TOKENS)]
Temperature = Annotated[Number, Field(ge=0, le=5)]
OpenAITemperature = Annotated[Number, Field(ge=0, le=2)]
TopP = Annotated[Number, Field(ge=0, le=1)]
"""With 0, only the likeliest token is taken."""
TopK = Annotated[Integer, Field(ge=-1, le=1_000_000)]
"""With -1 or 0, there is no limit, as with vLLM and llama.cpp."""
Penalty = Annotated[Number, Field(ge=-2, le=2)]
Seed = Annotated[Integer, Field(ge=-(2**63), lt=2**63)]
"""The range of OpenAI and vLLM; vLLM and llama.cpp take -1 for a random seed."""
Dimensions = Annotated[Integer, Field(ge=1, le=MOST_DIMENSIONS)]
"""Numbers of a vector."""
Effort = Annotated[Text, Field(min_length=1, max_length=64)]
"""How much a model is to think, or to say."""

StopText = Annotated[Text, Field(min_length=1)]
"""A stop sequence, which may be nothing but white space."""
EndUser = Annotated[SomeText, Field(max_length=LONGEST_END_USER)]
"""The id that a client's own user has there."""


def _unless_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Asker = Annotated[EndUser | None, BeforeValidator(_unless_blank)]
"""The client's own user, if it says one; vendors' APIs take blank ones for none."""
Metadata = Annotated[
    dict[
        Annotated[Text, Field(min_length=1, max_length=64)],
        Annotated[Text, Field(max_length=512)],
    ],
    Field(max_length=16),
]
