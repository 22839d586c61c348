"""What narrows a history: the same query parameters wherever runs are listed."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, BeforeValidator, Field

from llamakeep.api.http.text import Text, check_written_out
from llamakeep.domain import RunStatus
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import read_search
from llamakeep.storage.history.tags import LONGEST


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _mend_plus(value: object) -> object:
    # A plus that was not escaped arrives as a space; a space may stand for the T too.
    if isinstance(value, str) and value[10:].count(" ") and "T" in value:
        return value.replace(" ", "+")
    return value


Moment = Annotated[
    datetime,
    BeforeValidator(check_written_out),
    BeforeValidator(_mend_plus),
    AfterValidator(_with_zone),
]
Words = Annotated[
    Text | None,
    Query(
        max_length=500,
        description='Words that all have to be there, `"phrases"`, and `begin*`nings '
        "of words. What is still going on is not found.",
    ),
]

Tag = Annotated[Text, Field(min_length=1, max_length=LONGEST)]


def _run_filter(
    q: Words = None,
    model: Annotated[
        Text | None, Query(max_length=300, description="With its provider, or without.")
    ] = None,
    status: RunStatus | None = None,
    conversation_id: Annotated[Text | None, Query(max_length=32)] = None,
    api_key_id: Annotated[
        Text | None, Query(max_length=32, description="What it was asked with.")
    ] = None,
    since: Annotated[
        Moment | None, Query(description="In UTC, unless it says otherwise.")
    ] = None,
    until: Annotated[
        Moment | None, Query(description="This moment is not included.")
    ] = None,
    tag: Annotated[
        list[Tag] | None,
        Query(
            max_length=16,
            description="`key` or `key:value` of a run's `metadata`; given more than "
            "once, all of them.",
        ),
    ] = None,
) -> RunFilter:
    return RunFilter(
        model=model,
        status=status,
        conversation_id=conversation_id,
        api_key_id=api_key_id,
        since=since,
        until=until,
        tags=tuple(dict.fromkeys(tag or ())),
        search=None if not q or q.isspace() else read_search(q),
    )


Matching = Annotated[RunFilter, Depends(_run_filter)]
