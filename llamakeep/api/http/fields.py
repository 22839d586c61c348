"""Fields that requests of several doors have, with the same bounds."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from llamakeep.api.http.text import Text

MOST_TOKENS = 1_000_000


def check_number(value: object) -> object:
    """Refuse `true` and `false`, which Python takes for 1 and 0."""
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
"""With -1 or 0, from all tokens, as vLLM and llama.cpp have it."""
Penalty = Annotated[Number, Field(ge=-2, le=2)]
Seed = Annotated[Integer, Field(ge=-(2**63), lt=2**63)]
"""What OpenAI and vLLM take; -1 is by chance with vLLM and llama.cpp."""
StopText = Annotated[Text, Field(min_length=1)]
"""Text before which an answer ends; line breaks and spaces are text, too."""
Metadata = Annotated[
    dict[
        Annotated[Text, Field(min_length=1, max_length=64)],
        Annotated[Text, Field(max_length=512)],
    ],
    Field(max_length=16),
]
