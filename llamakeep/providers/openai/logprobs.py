"""How likely tokens were, as servers say it."""

import math
from collections.abc import Iterator
from typing import Any

from llamakeep.providers.openai.sealed import as_json

MOST_OTHERS = 20
"""How many other tokens may be said with one."""
_LONGEST = 1000
"""Characters of a token."""
_IMPOSSIBLE = -9999.0
"""What is said for a token that could not be; JSON has no infinity."""


def logprobs_in(choice: dict[str, Any]) -> str:
    """Return the JSON of the tokens that a choice has, with commas in between."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return ",".join([as_json(token) for token in _tokens(content)])


def _tokens(content: Any) -> Iterator[dict[str, Any]]:
    for one in content if isinstance(content, list) else ():
        if (token := _token(one)) is not None:
            others = one.get("top_logprobs")
            found = others[:MOST_OTHERS] if isinstance(others, list) else []
            yield token | {"top_logprobs": [*filter(None, map(_token, found))]}


def _token(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, dict) or not isinstance(given.get("token"), str):
        return None
    said, logprob = given["token"][:_LONGEST], given.get("logprob")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    if not math.isfinite(logprob):
        logprob = _IMPOSSIBLE
    token = said.encode(errors="replace").decode().replace("\0", "\ufffd")
    return {"token": token, "logprob": logprob, "bytes": _bytes(given.get("bytes"))}


def _bytes(given: Any) -> list[int] | None:
    if not isinstance(given, list) or len(given) > 4 * _LONGEST:
        return None
    is_right = all(type(byte) is int and 0 <= byte <= 255 for byte in given)
    return given if is_right else None
