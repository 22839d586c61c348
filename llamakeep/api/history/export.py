"""`GET /history/export`: a history as a stream of NDJSON, CSV or Markdown."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from fastapi import Request, Response

from llamakeep.api.dependencies import ReadingUser
from llamakeep.api.history.cells import harmless, row
from llamakeep.api.history.filters import Matching
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.http.streaming import Streaming
from llamakeep.domain import Run, User
from llamakeep.domain.runs import whole_length_of
from llamakeep.errors import (
    InvalidRequest,
    ScopeMissing,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.history.records import (
    hashes_of,
    images_in_markdown,
    model_name,
    readable,
    shown_in_history,
    shown_message,
)
from llamakeep.limits.readers import EXPORT
from llamakeep.schemas.json_text import (
    HOLE,
    PIECE,
    filled,
    gathered,
    in_pieces,
    inside_json,
    to_json,
)
from llamakeep.services import services_of
from llamakeep.storage import Storage
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.runs.long_texts import STORED

router = Router(prefix="/history", tags=["history"])

Kind = Literal["ndjson", "csv", "markdown"]

AT_ONCE, MUCH = 50, 1024 * 1024
"""How many runs, and of how many characters together, are in memory at a time."""
MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
_COLUMNS = (
    "id",
    "created_at",
    "finished_at",
    "status",
    "model",
    "conversation_id",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "error",
    "end_user",
    "prompt",
    "response",
)
_LINE_END = re.compile(r"\r\n?")


@router.get(
    "/export",
    response_class=Response,
    responses=problem_responses(
        Unauthenticated, ScopeMissing, InvalidRequest, TooManyReaders
    )
    | {200: {"content": {kind.partition(";")[0]: {} for kind in MEDIA_TYPES.values()}}},
)
async def export_history(
    request: Request,
    user: ReadingUser,
    matching: Matching,
    format: Kind = "ndjson",  # noqa: A002 - the field
) -> Response:
    """
    Download your history, oldest first, or the runs that match the filters.

    `ndjson` has all fields, one run a line, and can be sent to `/history/import`. In
    `csv`, a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    services = services_of(request)
    source = _Source(services.storage, user, matching)
    with services.readers.beginning(user.id, EXPORT) as end:
        # A database error here still gets its own status code.
        first = await source.some(after=None)
    name = {"markdown": "md"}.get(format, format)
    return Streaming(
        _texts(source, first, format),
        end=end,
        media_type=MEDIA_TYPES[format],
        headers={
            "Content-Disposition": f'attachment; filename="history.{name}"',
            "Cache-Control": "no-store",
        },
    )


@dataclass(frozen=True, slots=True)
class _Source:
    storage: Storage
    user: User
    matching: RunFilter

    async def some(self, *, after: str | None) -> list[Run]:
        """Return the next runs; long responses stay in storage until written."""
        return list(
            await self.storage.history(
                self.user,
                matching=self.matching,
                after=after,
                oldest_first=True,
                limit=AT_ONCE,
                is_page=True,
                much=MUCH,
                longest=MUCH,
            )
        )

    async def images(self, run: Run, written: set[str]) -> Sequence[dict[str, str]]:
        """Return those images of a run that were not `written` yet, and note them."""
        hashes = [each for each in hashes_of(run) if each not in written]
        if not hashes:
            return ()
        written.update(hashes)
        found = await self.storage.image_data(self.user.id, hashes)
        return await asyncio.to_thread(
            lambda: [
                {"sha256": each, "data": b64encode(found[each]).decode()}
                for each in hashes
                if each in found  # else the run was deleted meanwhile
            ]
        )

    async def response(self, run: Run, *, is_cell: bool) -> AsyncIterator[str]:
        is_first = True
        async for piece in self.storage.text_pieces(run):
            yield harmless(piece) if is_first and is_cell else piece
            is_first = False


async def _texts(source: _Source, runs: list[Run], kind: Kind) -> AsyncIterator[bytes]:
    encode, quote = _ENCODINGS[kind]
    if kind == "csv":
        yield row(_COLUMNS)
    written: set[str] = set()
    while runs:
        last = runs[-1].id
        runs.reverse()  # so that `pop` frees each run once it is written
        while runs:
            run = runs.pop()
            images = await source.images(run, written) if kind == "ndjson" else ()
            pieces = _with_images(run, images) if images else _WRITERS[kind](run)
            if run.response is not STORED:
                for piece in gathered(pieces):
                    yield piece
                continue
            text = partial(source.response, run, is_cell=kind == "csv")
            async for piece in filled(pieces, text, encode=encode, quote=quote):
                yield piece
        runs = await source.some(after=last)


def _ndjson(run: Run) -> Iterator[bytes]:
    if run.response is not STORED and whole_length_of([run]) <= PIECE:
        yield to_json(_exported(run)) + b"\n"
        return
    yield from in_pieces(_exported(run))
    yield b"\n"


def _with_images(run: Run, images: Sequence[dict[str, str]]) -> Iterator[bytes]:
    yield from in_pieces(_exported(run) | {"images": [*images]})
    yield b"\n"


def _csv(run: Run) -> Iterator[bytes]:
    facts = (
        run.id,
        run.created_at.isoformat(),
        run.finished_at and run.finished_at.isoformat(),
        run.status,
        model_name(run),
        run.conversation_id,
        run.usage.input_tokens,
        run.usage.output_tokens,
        run.usage.cost,
        run.error_code,
        run.end_user and harmless(run.end_user),
    )
    prompt, response = harmless(run.prompt), harmless(run.response)
    if run.response is not STORED and len(prompt) + len(response) <= PIECE:
        yield row((*facts, prompt, response))
        return
    yield row(facts).removesuffix(b"\r\n")
    yield b',"'
    yield from map(_doubled, _slices(prompt))
    yield b'",'
    if run.response is STORED:
        yield HOLE
    else:
        yield b'"'
        yield from map(_doubled, _slices(response))
        yield b'"'
    yield b"\r\n"


def _doubled(text: str) -> bytes:
    return text.replace('"', '""').encode()


def _markdown(run: Run) -> Iterator[bytes]:
    remark = "" if run.status == "succeeded" else f" · {run.status}"
    yield (
        f"## {run.created_at:%Y-%m-%d %H:%M:%S} UTC\n\n"
        f"`{run.id}` · {model_name(run)}{remark}\n\n"
    ).encode()
    prompt = _LINE_END.sub("\n", run.prompt).rstrip("\n")
    if images := images_in_markdown(run):
        prompt = f"{prompt}\n\n{images}".lstrip("\n")
    for piece in _slices(f"> {prompt}"):
        yield piece.replace("\n", "\n> ").encode()
    yield b"\n\n"
    if run.response is STORED:
        yield HOLE
    else:
        for piece in _slices(readable(run)):
            yield piece.encode()
    yield b"\n\n"


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


_WRITERS: dict[Kind, Callable[[Run], Iterator[bytes]]] = {
    "ndjson": _ndjson,
    "csv": _csv,
    "markdown": _markdown,
}
_ENCODINGS: dict[Kind, tuple[Callable[[str], bytes], bytes]] = {
    "ndjson": (inside_json, b'"'),
    "csv": (_doubled, b'"'),
    "markdown": (str.encode, b""),
}
"""How each format encodes a long response, and the quote around it."""


def _exported(run: Run) -> dict[str, Any]:
    earlier = [shown_message(one, run.id) for one in run.prior_messages]
    facts = shown_in_history(run) | {"earlier": earlier}
    del facts["position"]  # nothing follows it from a file
    return facts
