"""Query parameters that filter runs: search, model, status, time, tags."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, BeforeValidator, Field

from llamakeep.domain import RunStatus
from llamakeep.domain.runs import LONGEST_END_USER, Source
from llamakeep.schemas.text import Text, check_written_out
from llamakeep.storage.history.filters import RunFilter
from llamakeep.storage.history.search import Search, read_search
from llamakeep.storage.history.tags import LONGEST


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _restore_plus(value: object) -> object:
    # An unescaped plus of a UTC offset arrives as a space. A space in place of the T,
    # before the offset, is valid.
    if isinstance(value, str) and value[10:].count(" ") and "T" in value:
        return value.replace(" ", "+")
    return value


Moment = Annotated[
    datetime,
    BeforeValidator(check_written_out),
    BeforeValidator(_restore_plus),
    AfterValidator(_with_zone),
]
Words = Annotated[
    Text | None,
    Query(
        max_length=500,
        description='Words that all have to occur, `"phrases"`, and `prefix*`es of '
        "words. Unfinished runs are not found.",
    ),
]

Tag = Annotated[Text, Field(min_length=1, max_length=LONGEST)]


def search_of(q: str | None) -> Search | None:
    """
    Return what `q` asks for; `None` if it is empty.

    Raises:
        InvalidRequest: There is nothing in it to look for.
    """
    return None if not q or q.isspace() else read_search(q)


def _run_filter(
    q: Words = None,
    model: Annotated[
        Text | None, Query(max_length=300, description="With its provider, or without.")
    ] = None,
    status: Annotated[
        list[RunStatus] | None,
        Query(
            max_length=len(RunStatus),
            description="If repeated, one of these.",
        ),
    ] = None,
    conversation_id: Annotated[Text | None, Query(max_length=32)] = None,
    api_key_id: Annotated[
        Text | None, Query(max_length=32, description="The API key that was used.")
    ] = None,
    end_user: Annotated[
        Text | None,
        Query(max_length=LONGEST_END_USER, description="Whom the client asked for."),
    ] = None,
    source: Annotated[
        Source | None, Query(description="What the prompt came through.")
    ] = None,
    since: Annotated[
        Moment | None, Query(description="In UTC, unless it has an offset.")
    ] = None,
    until: Annotated[Moment | None, Query(description="Exclusive.")] = None,
    tag: Annotated[
        list[Tag] | None,
        Query(
            max_length=16,
            description="`key` or `key:value` of a run's `metadata`; if repeated, all "
            "have to match.",
        ),
    ] = None,
) -> RunFilter:
    return RunFilter(
        model=model,
        statuses=set(status or ()),
        conversation_id=conversation_id,
        api_key_id=api_key_id,
        end_user=end_user,
        source=source,
        since=since,
        until=until,
        tags=tuple(dict.fromkeys(tag or ())),
        search=search_of(q),
    )


Matching = Annotated[RunFilter, Depends(_run_filter)]
