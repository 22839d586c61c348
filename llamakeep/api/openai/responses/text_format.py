"""Conversion of `text.format` to and from the response format of chat completions."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.fields import Effort
from llamakeep.schemas.text import Text, check_json


class TextFormat(Body):
    """Any text, any JSON object, or JSON that a schema describes."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    described_by: Annotated[dict[str, Any], AfterValidator(check_json)] | None = Field(
        None, alias="schema"
    )
    description: Text | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        has_schema = self.name is not None and self.described_by is not None
        if has_schema != (self.type == "json_schema"):
            raise ValueError(
                "The type `json_schema` needs a `name` and a `schema`; the others have "
                "neither."
            )
        return self


class TextOptions(Form):
    """The format of the response."""

    format: TextFormat | None = None
    """`json_object`, or `json_schema` with a schema, where the model supports it."""
    verbosity: Effort | None = None
    """How much the model is to say, where that can be chosen: such as `low`."""


def response_format(options: TextOptions | None) -> dict[str, Any] | None:
    """Return the response format for the provider, unless it is plain text."""
    if options is None or options.format is None or options.format.type == "text":
        return None
    fields = options.format.model_dump(by_alias=True, exclude_none=True)
    kind = fields.pop("type")
    return {"type": kind, kind: fields} if fields else {"type": kind}


def text_format(stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `text.format` for a stored response format."""
    if stored is None:
        return {"type": "text"}
    kind: str = stored["type"]
    more: Mapping[str, Any] = stored.get(kind, {})
    return {"type": kind, **more}
