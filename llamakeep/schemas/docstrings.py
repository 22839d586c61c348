"""Docstrings of attributes, which Python itself does not keep."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def docstrings_of(kind: type) -> dict[str, str]:
    """Return the docstrings of a class's attributes, if there is source code."""
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
