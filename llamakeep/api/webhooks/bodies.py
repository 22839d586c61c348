"""Bodies of outgoing webhooks, in the format of the API that the client used."""

from dataclasses import replace

from llamakeep.api.replicate.access import Links
from llamakeep.api.replicate.predictions import Prediction
from llamakeep.api.webhooks.outgoing import PREDICTION
from llamakeep.domain import Notification, NotificationEvent, Run, RunStatus, Usage
from llamakeep.history.records import shown_in_history
from llamakeep.schemas.json_text import one_line, to_json


def render(notification: Notification, run: Run) -> bytes:
    """Return the body of a webhook, which is the same at every try."""
    if notification.event is NotificationEvent.START:
        run = _as_accepted(run)
    if notification.form == PREDICTION:
        # The receiver may be another party, so it gets no link to the stream.
        links = Links(notification.origin or "", digest=None)
        prediction = Prediction.of(run, links)
        return one_line(prediction.model_dump_json(exclude_unset=True).encode())
    return to_json(
        {
            "type": f"run.{run.status}",
            "timestamp": run.finished_at,
            "data": shown_in_history(run),
        }
    )


def _as_accepted(run: Run) -> Run:
    return replace(
        run,
        status=RunStatus.QUEUED,
        response="",
        usage=Usage(),
        error_code=None,
        error_detail=None,
        started_at=None,
        finished_at=None,
    )
