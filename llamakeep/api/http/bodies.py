"""What all JSON has in common that comes in or goes out."""

import warnings

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic.warnings import UnsupportedFieldAttributeWarning
from pydantic_core import CoreSchema

from llamakeep.docstrings import docstrings_of

# FastAPI hands Pydantic what it does not understand; it filters that itself, unless
# building is put off: see https://github.com/fastapi/fastapi/pull/14036.
warnings.filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)


class Body(BaseModel):
    """
    The body of a request or a response, or a part of one.

    Its validators are made when the event loop first needs them: a fifth of a start's
    time was theirs, above all of 300 that FastAPI has for `Problem`.
    """

    model_config = ConfigDict(defer_build=True)


class Form(Body):
    """
    What clients send: nothing more than what is in it.

    Below its fields is what the OpenAPI document says about them. It is read when the
    document is asked for; Pydantic would read all the source at each start.
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema, with the fields' docstrings."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for kind in cls.__mro__[: cls.__mro__.index(Form)]:
            for name, said in docstrings_of(kind).items():
                if name in properties:
                    properties[name].setdefault("description", said)
        return schema


def read_docstrings(kind: type[Form] = Form) -> None:
    """Read what the document says about all fields: files, so not on the event loop."""
    for each in kind.__subclasses__():
        docstrings_of(each)
        read_docstrings(each)
