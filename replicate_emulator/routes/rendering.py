"""A prediction as Replicate's API shows it."""

from datetime import datetime
from typing import Any

from replicate_emulator.predictions import Prediction


def timestamp(moment: datetime) -> str:
    """Return `moment` as Replicate writes it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def rendered(prediction: Prediction) -> dict[str, Any]:
    """Return `prediction` as a GET shows it: what is not known yet is left out."""
    this = f"{prediction.origin}/v1/predictions/{prediction.id}"
    body: dict[str, Any] = {
        "id": prediction.id,
        "model": prediction.model,
        "version": prediction.version,
        "input": {} if prediction.is_erased else prediction.input,
        "logs": prediction.logs,
        "output": _output(prediction),
        "data_removed": prediction.is_erased,
        "error": prediction.error,
        "source": "api",
        "status": prediction.status,
        "created_at": timestamp(prediction.created_at),
        "urls": {
            "cancel": f"{this}/cancel",
            "get": this,
            "web": f"{prediction.origin}/p/{prediction.id}",
        },
    }
    if prediction.has_stream:
        body["urls"]["stream"] = (
            f"{prediction.origin}/v1/streams/{prediction.stream_key}"
        )
    optional = {
        "deployment": prediction.deployment,
        "webhook": prediction.webhook,
        "webhook_events_filter": prediction.webhook_events_filter,
        "metrics": prediction.metrics,
        "deadline": prediction.deadline,
        "started_at": prediction.started_at,
        "completed_at": prediction.completed_at,
    }
    for name, value in optional.items():
        if isinstance(value, datetime):
            body[name] = timestamp(value)
        elif value is not None:
            body[name] = value
    return body


def rendered_at_creation(prediction: Prediction) -> dict[str, Any]:
    """Return `prediction` as the answer to a create that does not wait any longer."""
    body = rendered(prediction)
    _forget(body, "started_at", "completed_at", "metrics")
    # The official clients take any other status here for the end of the prediction.
    return body | {"status": "starting", "output": None, "logs": "", "error": None}


def rendered_after_waiting(prediction: Prediction) -> dict[str, Any]:
    """Return a finished `prediction` as the answer to a create that has waited."""
    body = rendered(prediction)
    _forget(body, "started_at", "completed_at", "metrics")
    if prediction.status == "succeeded":
        # Recorded so: the answer leaves before the prediction is written down as ended.
        body |= {"status": "processing", "logs": ""}
    return body


def _output(prediction: Prediction) -> Any:
    if prediction.is_erased:
        return None
    if prediction.output is not None:
        return prediction.output if prediction.deltas else None
    has_succeeded = prediction.status == "succeeded"
    return prediction.deltas if prediction.deltas or has_succeeded else None


def _forget(body: dict[str, Any], *names: str) -> None:
    for name in names:
        body.pop(name, None)
