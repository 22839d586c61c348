"""A whole history as a file, written while it is read: NDJSON, CSV or Markdown."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Literal

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from llamakeep.api.dependencies import ReadingUser, storage_of
from llamakeep.api.history_filters import Matching
from llamakeep.api.problems import problem_responses
from llamakeep.api.router import Router
from llamakeep.api.runs import model_name, shown_in_history
from llamakeep.domain import Run, User
from llamakeep.errors import InvalidRequest, ScopeMissing, Unauthenticated
from llamakeep.storage import Storage
from llamakeep.storage.filters import RunFilter

router = Router(prefix="/history", tags=["history"])

AT_ONCE = 50
"""Runs in memory at a time."""
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
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@router.get(
    "/export",
    response_class=Response,
    responses=problem_responses(Unauthenticated, ScopeMissing, InvalidRequest)
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
    # What cannot be read fails here, where there still is a status code to say so.
    first = await _some(storage, user, matching, after=None)
    name = {"markdown": "md"}.get(format, format)
    return StreamingResponse(
        _texts(storage, user, matching, first, format),
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
    yield _table([_COLUMNS]) if kind == "csv" else b""
    while runs:
        yield write(runs)
        last = runs[-1].id
        runs.clear()  # or two pages would be in memory
        runs = await _some(storage, user, matching, after=last)


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
        )
    )


def _ndjson(runs: Iterable[Run]) -> bytes:
    return b"".join(to_json(_exported(run)) + b"\n" for run in runs)


def _csv(runs: Iterable[Run]) -> bytes:
    return _table(
        (
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
            _harmless(run.prompt),
            _harmless(run.response),
        )
        for run in runs
    )


def _table(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _markdown(runs: Iterable[Run]) -> bytes:
    return "".join(_section(run) for run in runs).encode()


def _section(run: Run) -> str:
    remark = "" if run.status == "succeeded" else f" · {run.status}"
    quoted = "\n".join(f"> {line}".rstrip() for line in run.prompt.splitlines())
    return (
        f"## {run.created_at:%Y-%m-%d %H:%M:%S} UTC\n\n"
        f"`{run.id}` · {model_name(run)}{remark}\n\n"
        f"{quoted}\n\n{run.response}\n\n"
    )


_WRITERS: dict[str, Callable[[Iterable[Run]], bytes]] = {
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
