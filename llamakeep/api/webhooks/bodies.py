"""What webhooks say, each in the words of the door that was asked for it."""

from dataclasses import replace

from llamakeep.api.http.json_text import one_line, to_json
from llamakeep.api.prompts.schemas import shown_in_history
from llamakeep.api.replicate.access import Links
from llamakeep.api.replicate.predictions import Prediction
from llamakeep.api.webhooks.outgoing import PREDICTION
from llamakeep.domain import Notification, NotificationEvent, Run, RunStatus, Usage


def render(notification: Notification, run: Run) -> bytes:
    """Return what a webhook says about a run, the same whenever it is sent again."""
    if notification.event is NotificationEvent.START:
        run = _as_accepted(run)
    if notification.form == PREDICTION:
        # Whoever receives it need not be able to read the stream.
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
    """Return `run` as it was when nothing had become of it."""
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
