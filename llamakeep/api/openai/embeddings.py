"""OpenAI's embeddings API."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import Request, Response
from pydantic import ConfigDict, WithJsonSchema

from llamakeep import errors
from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.errors import COMPLETION_ERRORS, error_responses
from llamakeep.api.openai.parameters import refuse_unsupported
from llamakeep.api.prompts.canceling import CancelOnDisconnect
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.api.prompts.reading import checked, invalid
from llamakeep.domain import NewRun, Parameters, Run, Vector
from llamakeep.domain.embeddings import prompt_of, single_bytes
from llamakeep.errors import VectorsNotKept
from llamakeep.history.records import model_name
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import Asker, Dimensions, ModelName
from llamakeep.schemas.json_text import to_json
from llamakeep.services import services_of

router = Router(prefix="/v1/embeddings", tags=["openai"], queries=Queries.VENDORS)

MOST_TEXTS = 2048
"""How many texts a request may have, as with OpenAI."""
_LARGEST_ID = 2**31 - 1
_FEW = 16 * 1024
"""Numbers that are written on the event loop, in up to 8 ms."""
_NUMBERS = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
_TEXT = {"type": "string", "minLength": 1}
INPUT_SCHEMA = {
    "anyOf": [
        _TEXT,
        _NUMBERS,
        {
            "type": "array",
            "items": {"anyOf": [_TEXT, _NUMBERS]},
            "minItems": 1,
            "maxItems": MOST_TEXTS,
        },
    ]
}


class EmbeddingRequest(Form):
    """Texts, and how their vectors are wanted."""

    model_config = ConfigDict(extra="allow")

    input: Annotated[Any, WithJsonSchema(INPUT_SCHEMA)]
    """A text, or up to 2,048; or lists of the ids of their tokens, where supported."""
    model: ModelName | None = None
    """One of `/v1/models`, or a model's bare id; by default, the server's default."""
    dimensions: Dimensions | None = None
    """How many numbers each vector is to have, where that can be chosen."""
    encoding_format: Literal["float", "base64"] | None = None
    """`base64` for 32-bit floats in little-endian order; `float` is the default."""

    safety_identifier: Asker = None
    """Your own user for whom this is, kept with the run."""
    user: Asker = None
    """The older name of `safety_identifier`, which counts if both are there."""

    def asked(self) -> NewRun:
        """
        Return the texts and their parameters for the engine.

        Raises:
            InvalidRequest: A parameter or text is invalid.
        """
        if self.model_extra:
            refuse_unsupported(self.model_extra, ignored=frozenset(), only={})
        texts, are_ids = read_texts(self.input)
        prompt, message = prompt_of(texts)
        embedding: dict[str, Any] = {}
        if self.dimensions is not None:
            embedding["dimensions"] = self.dimensions
        if are_ids:
            embedding["token_ids"] = True
        return NewRun(
            prompt=prompt,
            model=self.model,
            last_message=message,
            parameters=Parameters(embedding=embedding),
            end_user=self.safety_identifier or self.user,
            source="embeddings",
        )


@router.prompts(
    "",
    response_class=Response,
    responses=COMPLETION_ERRORS
    | error_responses(errors.VectorsNotKept)
    | {
        200: {
            "description": "A list of embeddings, in the order of the texts.",
            "content": {"application/json": {}},
        }
    },
)
async def create(
    body: EmbeddingRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Make vectors of texts, as with OpenAI's API.

    The texts and the usage are kept in the history, and the vectors are not. Closing
    the connection cancels the run, unless the request had an `Idempotency-Key`.
    """
    engine, asked = services_of(request).engine, body.asked()
    key = await key_of(request, idempotency_key, body)
    run = await engine.accept(user, asked, idempotency_key=key, is_followed=False)
    leaving = CancelOnDisconnect(engine, user, run, may_come_back=key is not None)
    with leaving.watched(request.receive):
        ended = await engine.result(run)
    if not ended.vectors:
        raise _not_kept(ended)
    is_float = body.encoding_format != "base64"
    pieces = _pieces(ended, is_float=is_float)
    if sum(map(len, ended.vectors)) <= _FEW:
        content = b"".join(pieces)
    else:
        content = await asyncio.to_thread(b"".join, pieces)
    return Response(content, media_type="application/json")


def read_texts(given: Any) -> tuple[Sequence[str], bool]:
    """
    Return the texts of a request, and whether they are ids of tokens, as JSON.

    Raises:
        InvalidRequest: They are neither, too many, or empty.
    """
    if isinstance(given, str):
        return [_text(given, "input")], False
    if not isinstance(given, list) or not given:
        raise invalid("input", "It has to be a text, or a list of texts.")
    if isinstance(given[0], int):
        return [_ids(given, "input")], True
    if len(given) > MOST_TEXTS:
        raise invalid("input", f"It may have {MOST_TEXTS} texts at most.")
    are_ids = isinstance(given[0], list)
    read = _ids if are_ids else _text
    return [read(each, f"input.{at}") for at, each in enumerate(given)], are_ids


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str):
        raise invalid(where, "It has to be text, as the others are.")
    if not given:
        raise invalid(where, "It is empty. Write something, or leave it out.")
    return checked(given, where)


def _ids(given: Any, where: str) -> str:
    if not isinstance(given, list) or not given:
        raise invalid(where, "It has to be a list of the ids of tokens.")
    for each in given:
        is_id = isinstance(each, int) and not isinstance(each, bool)
        if not is_id or not 0 <= each <= _LARGEST_ID:
            raise invalid(where, "The ids of tokens are whole numbers.")
    return to_json(given).decode()


def _not_kept(run: Run) -> VectorsNotKept:
    error = VectorsNotKept(
        "The vectors were made for an earlier request, and vectors are not kept. Its "
        "texts are. Send the request with another Idempotency-Key, or without one, to "
        "have them made again."
    )
    error.run_id = run.id
    return error


def _pieces(run: Run, *, is_float: bool) -> Iterator[bytes]:
    """Yield the body of a response, each vector for itself."""
    opening = b'{"object":"list","data":['
    for index, vector in enumerate(run.vectors):
        written = _decimals(vector) if is_float else _base64(vector)
        yield b'%b{"object":"embedding","index":%d,"embedding":%b}' % (
            opening,
            index,
            written,
        )
        opening = b","
    tokens = run.usage.input_tokens
    usage = None
    if tokens is not None:
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    rest = to_json({"model": model_name(run), "usage": usage})
    yield from chain((b"],", rest[1:]))


def _decimals(vector: Vector) -> bytes:
    if vector.typecode == "d":
        return to_json(vector.tolist())
    # Nine digits are enough to tell one 32-bit float from the next.
    return b"[%b]" % ",".join([f"{number:.9g}" for number in vector]).encode()


def _base64(vector: Vector) -> bytes:
    return b'"%b"' % b64encode(single_bytes(vector))
