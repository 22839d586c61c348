"""Docstrings of attributes, which Python itself forgets."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def docstrings_of(kind: type) -> dict[str, str]:
    """Return what the source of a class, if it is there, says below its attributes."""
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
