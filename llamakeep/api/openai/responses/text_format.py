"""The form of an answer's text, as this API writes it and as models are told it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from llamakeep.api.http.bodies import Body, Form
from llamakeep.api.http.text import Text, check_json


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
    """What kind of text the answer is."""

    format: TextFormat | None = None
    """`json_object`, or `json_schema` with a schema, where the model can do that."""
    verbosity: Annotated[str, WithJsonSchema({"const": "medium"})] | None = None


def response_format(options: TextOptions | None) -> dict[str, Any] | None:
    """Return what a model is told about the form, unless it is plain text."""
    if options is None or options.format is None or options.format.type == "text":
        return None
    said = options.format.model_dump(by_alias=True, exclude_none=True)
    kind = said.pop("type")
    return {"type": kind, kind: said} if said else {"type": kind}


def text_format(told: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the form that a model was told, as this API writes it."""
    if told is None:
        return {"type": "text"}
    kind: str = told["type"]
    more: Mapping[str, Any] = told.get(kind, {})
    return {"type": kind, **more}
