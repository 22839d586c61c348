"""Webhooks that clients request, and their delivery state."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import Request
from pydantic import AwareDatetime, Field

from llamakeep.api.prompts.schemas import HistoryItem
from llamakeep.domain import (
    Notification,
    NotificationEvent,
    NotificationStatus,
    Run,
    User,
    new_id,
)
from llamakeep.errors import InvalidRequest
from llamakeep.history.records import shown_in_history
from llamakeep.schemas.bodies import Body
from llamakeep.schemas.text import Text
from llamakeep.services import services_of
from llamakeep.webhooks.addresses import Guard, NotAllowed
from llamakeep.webhooks.signing import new_secret

WebhookUrl = Annotated[Text, Field(max_length=2048)]

RUN, PREDICTION = "run", "prediction"
"""The formats of webhooks: that of `/history/`, and Replicate's."""


class WebhookState(Body):
    """The delivery state of a run's webhook."""

    status: NotificationStatus
    tries: int
    """How often it was sent."""
    next_try_at: AwareDatetime | None
    """The earliest time of the next try; `null` if there is none."""
    last_error: str | None
    """Why the last try failed."""

    @classmethod
    def of(cls, notification: Notification) -> Self:
        """Return the body for `notification`."""
        return cls.model_construct(
            status=notification.status,
            tries=notification.tries,
            next_try_at=notification.next_try_at,
            last_error=notification.last_error,
        )


class WatchedRun(HistoryItem):
    """A run with its prompt and the state of its webhook."""

    webhook: WebhookState | None = None
    """Left out if the run has no webhook."""


async def watched(request: Request, run: Run) -> dict[str, Any]:
    """Return `run` as a `WatchedRun`, but as a dictionary."""
    services = services_of(request)
    if services.settings.webhooks:
        known = await services.storage.find_notification(run)
        if known is not None:
            return shown_in_history(run) | {"webhook": WebhookState.of(known)}
    return shown_in_history(run)


async def wanted(
    request: Request,
    user: User,
    url: str,
    events: Sequence[NotificationEvent],
    *,
    form: str,
    origin: str | None = None,
) -> Sequence[Notification]:
    """
    Return the webhooks to store with a new run.

    One webhook is sent for each of `events`, in the format `form`: `RUN` or
    `PREDICTION`. Links in it begin with `origin`. The user gets a webhook secret,
    unless there is one.

    Raises:
        InvalidRequest: Webhooks are disabled, or the URL is not permitted.
    """
    services = services_of(request)
    settings = services.settings
    if not settings.webhooks:
        raise InvalidRequest.of(
            "webhook",
            "This server sends no webhooks; nothing was stored. Leave it out, and ask "
            "until the answer is there, or follow it. (An operator can set "
            "LLAMAKEEP_WEBHOOKS=true.)",
        )
    try:
        target = Guard(settings.webhook_networks).target(url)
    except NotAllowed as error:
        raise InvalidRequest.of("webhook", f"{error} Nothing was stored.") from None
    await services.storage.webhook_secrets(user, fresh=new_secret())
    return [
        Notification(
            id=new_id("msg_"),
            event=event,
            url=url,
            host=target.authority,
            form=form,
            origin=origin,
        )
        for event in events
    ]
