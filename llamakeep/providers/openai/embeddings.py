"""What is sent for vectors to servers that speak OpenAI's API, and what they return."""

import json
from array import array
from base64 import b64decode
from collections.abc import Sequence
from math import isfinite
from typing import Any

from llamakeep.domain import Usage, Vector
from llamakeep.domain.embeddings import texts_of, vector_of
from llamakeep.errors import ProviderAnswerInvalid
from llamakeep.providers.base import CompletionRequest, Finished
from llamakeep.providers.json_text import read_json
from llamakeep.providers.openai.deltas import count, label
from llamakeep.providers.openai.refusals import Reason, broken_off
from llamakeep.providers.openai.requests import USUAL, Wording

MOST_BYTES = 48 * 1024 * 1024
"""Bytes of an answer: 2,048 vectors of 3,072 numbers in base64 are 33 MiB."""
_BYTES_OF_ONE = 512 * 1024
_MOST_VALUES = 4 * 1024 * 1024
"""Values of an answer, each of which takes 32 bytes while it is read."""
_SEPARATORS = (b",", b"[", b"{")


def embeddings_body(
    request: CompletionRequest, wording: Wording = USUAL
) -> dict[str, Any]:
    """Return what to send for `request`."""
    wanted = dict(request.parameters.embedding or {})
    texts: Sequence[Any] = texts_of(request.messages[-1])
    if wanted.pop("token_ids", False):
        texts = [json.loads(text) for text in texts]
    # It is a third of the bytes, and exact.
    encoding = {"encoding_format": "base64"} if wording.takes_base64 else {}
    return {"model": request.model, "input": texts, **wanted, **encoding}


def longest_answer(texts: int) -> int:
    """Return how many bytes the vectors of so many texts may have."""
    return min((texts + 1) * _BYTES_OF_ONE, MOST_BYTES)


def read_embeddings(
    body: bytes, request: CompletionRequest, *, who: str, secret: str | None
) -> Finished:
    """
    Return the vectors of an answer, and their usage.

    Raises:
        ProviderAnswerInvalid: They are not those that were asked for.
        LlamaKeepError: It is an error message.
    """
    values = sum(map(body.count, _SEPARATORS))
    if values > _MOST_VALUES:
        raise _invalid(who, f"it has more than {_MOST_VALUES} values")
    try:
        said = read_json(body)
    except ValueError as error:
        raise _invalid(who, "it is not JSON") from error
    if isinstance(said, dict) and said.get("error"):
        raise broken_off(Reason.read(said, secret), who=who, model=request.model)
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, list):
        raise _invalid(who, "it has no `data`")
    try:
        vectors = [_vector(each) for each in _in_order(data)]
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        raise _invalid(who, "its `data` are not vectors of finite numbers") from error
    expected = len(texts_of(request.messages[-1]))
    if len(vectors) != expected:
        raise _invalid(who, f"it has {len(vectors)} vectors for {expected} texts")
    lengths = set(map(len, vectors))
    wanted = (request.parameters.embedding or {}).get("dimensions")
    if len(lengths) > 1 or (wanted is not None and lengths != {wanted}):
        found = ", ".join(map(str, sorted(lengths)[:3]))
        raise _invalid(who, f"its vectors have {found} dimensions")
    usage, tokens = said.get("usage"), None
    if isinstance(usage, dict):
        tokens = count(usage, "prompt_tokens", "input_tokens", "total_tokens")
    return Finished(
        usage=Usage(tokens, None if tokens is None else 0),
        resolved_model=label(said.get("model")),
        vectors=vectors,
    )


def _in_order(data: Sequence[dict[str, Any]]) -> Sequence[Any]:
    """
    Return the embeddings of an answer, in the order of their texts.

    Raises:
        KeyError: Some have the same place, or none.
    """
    if not any(each.get("index") for each in data):  # some servers number none
        return [each.get("embedding") for each in data]
    embeddings = {each.get("index"): each.get("embedding") for each in data}
    return [embeddings[place] for place in range(len(data))]


def _vector(said: Any) -> Vector:
    if isinstance(said, str):
        single = vector = vector_of(b64decode(said, validate=True))
    else:
        vector = array("d", said)
        single = array("f", vector)
    # It is not a number if one of them is not.
    if not vector or not isfinite(sum(single)):
        raise ValueError
    return vector


def _invalid(who: str, why: str) -> ProviderAnswerInvalid:
    return ProviderAnswerInvalid(
        f"{who} returned embeddings that cannot be read: {why}."
    )
