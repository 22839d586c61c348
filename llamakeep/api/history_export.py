"""A whole history as a file, written while it is read: NDJSON, CSV or Markdown."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Literal

from fastapi import Request, Response

from llamakeep.api.dependencies import ReadingUser, readers_of, storage_of
from llamakeep.api.history_filters import Matching
from llamakeep.api.json_text import PIECE, gathered, in_pieces, to_json
from llamakeep.api.problems import problem_responses
from llamakeep.api.readers import EXPORT
from llamakeep.api.router import Router
from llamakeep.api.runs import length_of, model_name, shown_in_history
from llamakeep.api.streaming import Streaming
from llamakeep.domain import Run, User
from llamakeep.errors import (
    InvalidRequest,
    ScopeMissing,
    TooManyReaders,
    Unauthenticated,
)
from llamakeep.storage import Storage
from llamakeep.storage.filters import RunFilter

router = Router(prefix="/history", tags=["history"])

AT_ONCE, MUCH = 50, 1024 * 1024
"""Runs in memory at a time, or as many as have so many characters together."""
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
    "prompt",
    "response",
)
_LINE_END = re.compile(r"\r\n?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    format: Literal["ndjson", "csv", "markdown"] = "ndjson",  # noqa: A002 - the field
) -> Response:
    """
    Download what you asked, oldest first, all of it or what the filters let through.

    `ndjson` has everything, one run a line, and can be sent to `/history/import`. In
    `csv`, a text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    storage = storage_of(request)
    end = readers_of(request).begin(user.id, EXPORT)
    try:
        # What cannot be read fails here, where there still is a status to say so.
        first = await _some(storage, user, matching, after=None)
    except BaseException:
        end()
        raise
    name = {"markdown": "md"}.get(format, format)
    return Streaming(
        _texts(storage, user, matching, first, format),
        end=end,
        media_type=MEDIA_TYPES[format],
        headers={
            "Content-Disposition": f'attachment; filename="history.{name}"',
            "Cache-Control": "no-store",
        },
    )


async def _texts(
    storage: Storage,
    user: User,
    matching: RunFilter,
    runs: list[Run],
    kind: Literal["ndjson", "csv", "markdown"],
) -> AsyncIterator[bytes]:
    write = _WRITERS[kind]
    if kind == "csv":
        yield _row(_COLUMNS)
    while runs:
        last = runs[-1].id
        for piece in gathered(_written(runs, write)):
            yield piece
        runs = await _some(storage, user, matching, after=last)


def _written(
    runs: list[Run], write: Callable[[Run], Iterator[bytes]]
) -> Iterator[bytes]:
    """Yield them in their order; none is held longer than it takes to write it."""
    runs.reverse()
    while runs:
        yield from write(runs.pop())


async def _some(
    storage: Storage, user: User, matching: RunFilter, *, after: str | None
) -> list[Run]:
    return list(
        await storage.history(
            user,
            matching=matching,
            after=after,
            oldest_first=True,
            limit=AT_ONCE,
            is_page=True,
            much=MUCH,
        )
    )


def _ndjson(run: Run) -> Iterator[bytes]:
    if length_of([run]) + sum(len(one.content) for one in run.earlier) <= PIECE:
        yield to_json(_exported(run)) + b"\n"
        return
    yield from in_pieces(_exported(run))
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
    )
    prompt, response = _harmless(run.prompt), _harmless(run.response)
    if len(prompt) + len(response) <= PIECE:
        yield _row((*facts, prompt, response))
        return
    yield _row(facts).removesuffix(b"\r\n")
    for text in (prompt, response):
        yield b',"'
        for piece in _slices(text):
            yield piece.replace('"', '""').encode()
        yield b'"'
    yield b"\r\n"


def _row(facts: Iterable[object]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(facts)
    return text.getvalue().encode()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _markdown(run: Run) -> Iterator[bytes]:
    remark = "" if run.status == "succeeded" else f" · {run.status}"
    yield (
        f"## {run.created_at:%Y-%m-%d %H:%M:%S} UTC\n\n"
        f"`{run.id}` · {model_name(run)}{remark}\n\n"
    ).encode()
    for piece in _slices("> " + _LINE_END.sub("\n", run.prompt).rstrip("\n")):
        yield piece.replace("\n", "\n> ").encode()
    yield b"\n\n"
    for piece in _slices(run.response):
        yield piece.encode()
    yield b"\n\n"


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


_WRITERS: dict[str, Callable[[Run], Iterator[bytes]]] = {
    "ndjson": _ndjson,
    "csv": _csv,
    "markdown": _markdown,
}


def _exported(run: Run) -> dict[str, Any]:
    """Return all that is kept of `run`, so that it can be imported again."""
    return shown_in_history(run) | {
        "previous_run_id": run.previous_run_id,
        "earlier": [{"role": one.role, "content": one.content} for one in run.earlier],
    }
