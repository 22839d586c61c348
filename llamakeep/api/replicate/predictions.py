"""Response bodies of predictions."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal

from fastapi import Response
from pydantic import AwareDatetime

from llamakeep.api.replicate.access import Links
from llamakeep.api.replicate.inputs import input_of
from llamakeep.api.replicate.names import model_of, run_version_of
from llamakeep.domain import Run, RunStatus
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.json_text import one_line

Status = Literal["starting", "processing", "succeeded", "failed", "canceled"]
STATUSES: dict[RunStatus, Status] = {
    RunStatus.QUEUED: "starting",
    RunStatus.STARTING: "starting",
    RunStatus.PROCESSING: "processing",
    RunStatus.SUCCEEDED: "succeeded",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELED: "canceled",
    RunStatus.EXPIRED: "failed",
    RunStatus.INTERRUPTED: "failed",
}
"""Replicate's statuses; its clients would wait for ever with any other."""

_PIECE = re.compile(r"\s*(?::[^\s:]{0,15}|[^\s:]{1,16})|\s+\Z")


class PredictionUrls(Body):
    """URLs of a prediction."""

    get: str
    cancel: str
    stream: str
    """Needs no access token, and is valid for a day: keep it secret."""
    web: str


class Prediction(Body):
    """A run in Replicate's format."""

    id: str
    """The run's id in the history, without `run_`."""
    model: str
    """`owner/name`; the owner is the provider if the model has none."""
    version: str
    """`hidden`, unless the request named a version."""
    input: dict[str, Any]
    output: list[str] | None
    """Pieces of the text, to be concatenated."""
    logs: str
    error: str | None
    status: Status
    data_removed: bool
    """Whether its texts are erased, since they were not to be stored."""
    source: Literal["api"]
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    deadline: AwareDatetime | None = None
    """When it is canceled, if the request had a `Cancel-After`."""
    metrics: dict[str, int | float]
    """Seconds and tokens, once the prediction has ended."""
    urls: PredictionUrls

    @classmethod
    def of(cls, run: Run, links: Links) -> "Prediction":
        """Return the body for `run`."""
        short_id = run.id.removeprefix("run_")
        address = links.to(f"/predictions/{short_id}")
        status = STATUSES[run.status]
        urls = PredictionUrls.model_construct(
            get=address,
            cancel=f"{address}/cancel",
            web=f"{links.origin}/history/{run.id}",
        )
        if links.digest is not None:
            urls.stream = links.to_stream(run)
        return cls.model_construct(
            id=short_id,
            model=model_of(run),
            version=run_version_of(run),
            input=input_of(run),
            output=_output(run),
            logs="",
            error=run.error_detail if status == "failed" else None,
            status=status,
            data_removed=run.status.is_final and not run.store,
            source="api",
            created_at=run.created_at,
            started_at=run.started_at,
            completed_at=run.finished_at,
            metrics=_metrics(run),
            urls=urls,
        )

    @classmethod
    def created(
        cls, run: Run, links: Links, *, cancel_after: int | None
    ) -> "Prediction":
        """
        Return the body for a run that was just created.

        An unfinished run is `starting` and has no output, since Replicate's clients
        take anything else for its end.
        """
        prediction = cls.of(run, links)
        if not run.status.is_final:
            prediction.status = "starting"
            prediction.output = None
        if cancel_after is not None:
            prediction.deadline = run.created_at + timedelta(seconds=cancel_after)
        return prediction


class PredictionPage(Body):
    """A page of predictions, newest first."""

    next: str | None
    """The URL of the page with older ones."""
    previous: str | None
    """The URL of the page with newer ones."""
    results: list[Prediction]


def prediction_response(
    prediction: Prediction | PredictionPage,
    status: int = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response:
    """Respond with values from storage, which need no validation."""
    return Response(
        one_line(prediction.model_dump_json(exclude_unset=True).encode()),
        status,
        headers,
        media_type="application/json",
    )


def pieces(text: str, *, is_whole: bool) -> list[str]:
    """
    Split `text` into items that never change as the text grows.

    Clients that poll read only the new items. No item begins like a URL, which
    Replicate's clients would take for a file. Unless the text `is_whole`, the last item
    is left out.
    """
    found: list[str] = _PIECE.findall(text)
    if found and not is_whole:
        found.pop()
    return found


def _output(run: Run) -> list[str] | None:
    if STATUSES[run.status] == "starting":
        return None
    is_whole = run.status.is_final
    is_kept = run.status is RunStatus.SUCCEEDED and run.store
    if not (run.response or is_kept):
        return None
    return pieces(run.response, is_whole=is_whole)


def _metrics(run: Run) -> dict[str, int | float]:
    if run.finished_at is None:
        return {}
    found: dict[str, int | float] = {
        "total_time": _seconds(run.created_at, run.finished_at)
    }
    usage = run.usage
    if usage.input_tokens is not None:
        found["input_token_count"] = usage.input_tokens
    if usage.output_tokens is not None:
        found["output_token_count"] = usage.output_tokens
    if run.started_at is not None:
        took = _seconds(run.started_at, run.finished_at)
        found["predict_time"] = took
        if usage.output_tokens and took:
            found["tokens_per_second"] = usage.output_tokens / took
    return found


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def results(runs: Sequence[Run], links: Links) -> list[Prediction]:
    """Return the bodies for `runs`."""
    return [Prediction.of(run, links) for run in runs]
