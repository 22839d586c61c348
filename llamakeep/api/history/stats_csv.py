"""Statistics as CSV, for spreadsheets and for billing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response

from llamakeep.api.history.cells import harmless, row
from llamakeep.api.http.streaming import Streaming, sent
from llamakeep.errors import InvalidRequest
from llamakeep.storage.history.stats import PERCENTS, Grouping, Stats

MOST_FACTS = 5
"""By how many facts runs are grouped at most: user, key, model, end user and day."""

MOST_ROWS = 20_000
"""How many groups there are at most; all of them are in memory at a time."""

CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}

Format = Annotated[
    Literal["json", "csv"] | None,
    Query(
        description="`csv` has up to 20,000 groups, and is refused where there are "
        "more. Without it, the header `Accept` decides."
    ),
]

_ROWS = 200
"""How many rows are sent at a time."""


def wants_csv(request: Request, wanted: Literal["json", "csv"] | None) -> bool:
    """Return whether a request asks for CSV, by its parameter or else by `Accept`."""
    if wanted is not None:
        return wanted == "csv"
    first = request.headers.get("accept", "").partition(",")[0]
    return first.partition(";")[0].strip().lower() == "text/csv"


def stats_csv(
    found: Sequence[Stats],
    by: Sequence[Grouping],
    *,
    has_more: bool,
    usernames: Mapping[str, str] | None = None,
) -> Response:
    """
    Respond with a row for each group; ids of users get their names, too.

    Raises:
        InvalidRequest: There are more groups than these.
    """
    if has_more:
        raise InvalidRequest.of(
            "query.by",
            f"There are more than {MOST_ROWS:,} groups, and no file is cut short. Ask "
            "for a shorter time with `since` and `until`, or for fewer facts.",
        )
    return Streaming(
        sent(_pieces(found, by, usernames)),
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="usage.csv"',
            "Cache-Control": "no-store",
        },
    )


def _pieces(
    found: Sequence[Stats], by: Sequence[Grouping], names: Mapping[str, str] | None
) -> Iterator[bytes]:
    times = [f"{kind}_p{p}" for kind in ("latency", "first_word") for p in PERCENTS]
    name = [] if names is None else ["username"]
    yield row(
        [
            *by,
            *name,
            "runs",
            "succeeded",
            "failed",
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "unpriced",
            *times,
        ]
    )
    for start in range(0, len(found), _ROWS):
        yield b"".join(
            _row(each, by, names, times) for each in found[start : start + _ROWS]
        )


def _row(
    each: Stats,
    by: Sequence[Grouping],
    names: Mapping[str, str] | None,
    times: Sequence[str],
) -> bytes:
    groups = [None if group is None else harmless(group) for group in each.groups]
    name: list[str | None] = []
    if names is not None:
        user_id = dict(zip(by, each.groups, strict=True)).get(Grouping.USER)
        known = names.get(user_id or "")
        name = [None if known is None else harmless(known)]
    return row(
        [
            *groups,
            *name,
            each.runs,
            each.succeeded,
            each.failed,
            each.input_tokens,
            each.output_tokens,
            f"{each.cost:f}",
            each.unpriced,
            *(getattr(each, time) for time in times),
        ]
    )
