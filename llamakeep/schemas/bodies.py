"""Base classes of JSON request and response bodies."""

import ast
import inspect
import textwrap
import warnings
from functools import cache
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic.warnings import UnsupportedFieldAttributeWarning
from pydantic_core import CoreSchema

# FastAPI passes Pydantic attributes that it warns about, and silences the warning only
# when models are built at once: see https://github.com/fastapi/fastapi/pull/14036.
warnings.filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)


class Body(BaseModel):
    """
    The body of a request or a response, or a part of one.

    Validators are built at first use, on the event loop: building them all (FastAPI has
    300 for `Problem` alone) would take a fifth of the server's start.
    """

    model_config = ConfigDict(defer_build=True)


class Form(Body):
    """
    A request body that refuses unknown fields.

    The docstrings of its fields become descriptions in the OpenAPI document. They are
    read when the document is requested; Pydantic would read all source files at start.
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema with the fields' docstrings as descriptions."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for kind in cls.__mro__[: cls.__mro__.index(Form)]:
            for name, said in docstrings_of(kind).items():
                if name in properties:
                    properties[name].setdefault("description", said)
        return schema


@cache
def docstrings_of(kind: type) -> dict[str, str]:
    """Return the docstrings of attributes, which Python keeps in the source only."""
    try:
        source = inspect.getsource(kind)
    except OSError:
        return {}
    [definition] = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for pair in pairwise(definition.body):
        match pair:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(said))),
            ):
                found[name] = inspect.cleandoc(said)
    return found


def read_docstrings(kind: type[Form] = Form) -> None:
    """Cache the docstrings of all forms' fields; call it in a thread."""
    for each in kind.__subclasses__():
        docstrings_of(each)
        read_docstrings(each)
