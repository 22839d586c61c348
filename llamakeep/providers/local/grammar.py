"""Which patterns of JSON schemas the embedded model can be held to."""

import re
from collections.abc import Iterator
from typing import Any

_MEMBER = r"(?:[^\[\]\\\"\x00-\x1f\x7f]|\\[\]-])"
_TOKEN = re.compile(
    rf"""
      (?P<open>\((?:\?:|(?!\?)))
    | (?P<close>\))
    | (?P<either>\|)
    | (?P<repeat>[*+?]|\{{[0-9]{{1,3}}(?:,[0-9]{{0,3}})?\}})
    | (?P<one>
          \[(?!\^)(?P<members>{_MEMBER}+)\]
        | \\[\^$.\[\](){{}}|*+?-]
        | [^\^$.\[\](){{}}|*+?\\\"\x00-\x1f\x7f-\U0010ffff]
      )
    """,
    re.VERBOSE,
)
_RANGE = re.compile(r"(.)-(.)", re.DOTALL)
_MOST_DEPTH = 200
LONGEST = 1000
"""
How long a pattern may be whose counts are written out.

Counts of counts, such as `(a{0,50}){0,50}`, keep llama.cpp busy for minutes.
"""
_SUBSCHEMAS_BY_NAME = {"properties", "$defs", "definitions", "dependentSchemas"}
_NO_SCHEMAS = {"const", "default", "enum", "examples", "required"}


def unsupported_patterns(schema: Any) -> Iterator[str]:
    """
    Yield the patterns of a JSON schema that llama.cpp's grammars cannot hold.

    It would ignore them, or break the answer off. What it can hold is anchored at both
    ends and made of ASCII characters, classes of them, groups, alternatives and counts.
    """
    pending = [(schema, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > _MOST_DEPTH:
            continue
        if isinstance(value, list):
            pending.extend((each, depth + 1) for each in value)
        if not isinstance(value, dict):
            continue
        pattern = value.get("pattern")
        if isinstance(pattern, str) and not is_supported(pattern):
            yield pattern
        by_pattern = value.get("patternProperties")
        if isinstance(by_pattern, dict):
            yield from (str(each) for each in by_pattern)
        for name, below in value.items():
            if name in _SUBSCHEMAS_BY_NAME and isinstance(below, dict):
                pending.extend((each, depth + 1) for each in below.values())
            elif name not in _NO_SCHEMAS:
                pending.append((below, depth + 1))


def is_supported(pattern: str) -> bool:
    """Return whether a grammar can hold a string to this regular expression."""
    if not (pattern.startswith("^") and pattern.endswith("$")):
        return False
    if len(pattern) < len("^$"):
        return False
    depth = 0
    at, end = 1, len(pattern) - 1
    can_repeat = False
    while at < end:
        token = _TOKEN.match(pattern, at, end)
        if token is None or (token["repeat"] and not can_repeat):
            return False  # also a second repetition, which would make it lazy
        if token["members"] and not _is_safe(token["members"]):
            return False
        depth += bool(token["open"]) - bool(token["close"])
        if depth < 0:
            return False
        can_repeat = bool(token["one"] or token["close"])
        at = token.end()
    return depth == 0 and _is_short(pattern)


def _is_short(pattern: str) -> bool:
    """Return whether a pattern is short enough when its counts are written out."""
    sizes = [0]
    """How long the groups are that are open."""
    last = 0
    """How long that is what a count would be of."""
    for token in _TOKEN.finditer(pattern, 1, len(pattern) - 1):
        if token["open"]:
            sizes.append(0)
        elif token["close"]:
            last = sizes.pop()
            sizes[-1] += last
        elif counts := re.findall("[0-9]+", token["repeat"] or ""):
            sizes[-1] += last * (int(counts[-1]) - 1)
        elif token["one"]:
            last = 1
            sizes[-1] += last
        if sizes[-1] > LONGEST:
            return False
    return True


def _is_safe(members: str) -> bool:
    """Return whether no range of a class has what JSON has to escape."""
    return not any(
        low <= mark <= high or low > high
        for low, high in _RANGE.findall(members.replace("\\-", "_"))
        for mark in '"\\\x7f'
    )
