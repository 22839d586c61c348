"""Runs of the past, which are imported."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from llamakeep.domain import new_id
from tests.page.site import MODEL, Site


def past(site: Site, *runs: dict[str, Any]) -> list[dict[str, Any]]:
    """
    Give alice runs that ended, the oldest first, and return them.

    Each is what differs from a run of an hour ago that succeeded, with `days` for how
    many days ago it was.
    """
    now = datetime.now(UTC)
    lines = [
        _line(now - timedelta(minutes=60 - n), **run) for n, run in enumerate(runs)
    ]
    site.call("POST", "/history/import", content="\n".join(map(json.dumps, lines)))
    return lines


def _line(at: datetime, *, days: int = 0, **facts: Any) -> dict[str, Any]:
    at -= timedelta(days=days)
    line: dict[str, Any] = {
        "id": new_id("run_", at=at),
        "conversation_id": new_id("conv_", at=at),
        "prompt": "Hi",
        "response": "Hello.",
        "status": "succeeded",
        "model": MODEL,
        "finish_reason": "stop",
        "usage": {
            "input_tokens": 7,
            "output_tokens": 3,
            "cost_usd": None,
            "cached_tokens": None,
            "reasoning_tokens": None,
        },
        "created_at": at.isoformat(),
        "started_at": (at + timedelta(seconds=0.5)).isoformat(),
        "finished_at": (at + timedelta(seconds=2)).isoformat(),
        "metadata": {},
    }
    return line | facts
