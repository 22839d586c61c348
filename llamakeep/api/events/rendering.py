"""The events of `/events/`, as they are sent: see docs/streaming.md."""

from collections.abc import Iterator
from dataclasses import replace

from llamakeep.api.history.conversations import title_of
from llamakeep.api.http import sse
from llamakeep.domain import Run
from llamakeep.engine.feeds.feed import Change
from llamakeep.engine.refusals import raise_for_status
from llamakeep.errors import LlamaKeepError
from llamakeep.history.records import shown, shown_beginning
from llamakeep.schemas.json_text import in_pieces, to_json
from llamakeep.schemas.problem import problem_json, problem_of
from llamakeep.storage.runs.long_texts import STORED

RECONNECT = 1000
"""Milliseconds after which to connect again when the server stops."""


def ready(cursor: str, *, resumed: bool) -> bytes:
    """Return the event after which every change is told."""
    return sse.encode(to_json({"resumed": resumed}), "ready", cursor)


def changed(change: Change, cursor: str | None) -> bytes:
    """Return the event that a run is as it is now, or is not there any more."""
    if change.run is None:
        return sse.encode(to_json({"run": change.run_id}), "deleted", cursor)
    run = change.run
    title = None
    if run.opening is not None:
        title = run.chosen_title or title_of(run.opening)
    facts = shown_beginning(run.beginning) | {"conversation_title": title}
    return sse.encode(to_json(facts), "run", cursor)


def ended(run: Run) -> bytes:
    """Return the last event of a run's text."""
    try:
        raise_for_status(run)
    except LlamaKeepError as error:
        return failed(error, run.id, is_over=True)
    return sse.encode(to_json({"run": run.id, **shown(run)}), "done")


def done_in_pieces(run: Run) -> Iterator[bytes]:
    """Return the last event of a run whose response is still `STORED`."""
    yield sse.opening("done")
    facts = shown(replace(run, response=STORED))
    yield from in_pieces({"run": run.id, **facts})
    yield sse.END


def failed(error: LlamaKeepError, run_id: str, *, is_over: bool) -> bytes:
    """Return the event that no more comes of a run's text; it `is_over`, or goes on."""
    facts = problem_of(error).model_dump(exclude_none=True)
    facts.pop("run_id", None)
    whose = {"run": run_id, "is_over": is_over}
    return sse.encode(to_json(whose | facts), "error")


def refused(error: LlamaKeepError) -> bytes:
    """Return the event that ends a stream."""
    return sse.encode(problem_json(problem_of(error)), "error")


def stopped(error: LlamaKeepError) -> bytes:
    """Return the event that ends a stream whose reader is to connect again."""
    return b"retry: %d\n" % RECONNECT + refused(error)
