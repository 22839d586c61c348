"""Webhooks that clients want, and how far they are."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import Request
from pydantic import AwareDatetime, Field

from llamakeep.api.dependencies import settings_of, storage_of
from llamakeep.api.http.bodies import Body
from llamakeep.api.http.text import Text
from llamakeep.api.prompts.schemas import HistoryItem, shown_in_history
from llamakeep.domain import (
    Notification,
    NotificationEvent,
    NotificationStatus,
    Run,
    User,
    new_id,
)
from llamakeep.errors import FieldError, InvalidRequest
from llamakeep.webhooks.addresses import Guard, NotAllowed
from llamakeep.webhooks.signing import new_secret

WebhookUrl = Annotated[Text, Field(max_length=2048)]

RUN, PREDICTION = "run", "prediction"
"""The forms that webhooks have: that of `/history/`, and Replicate's."""


class WebhookState(Body):
    """How far the webhook about a run is."""

    status: NotificationStatus
    tries: int
    """How often it was sent."""
    next_try_at: AwareDatetime | None
    """Not before then; `null` when nothing is sent any more."""
    last_error: str | None
    """Why it was not received when it was sent last."""

    @classmethod
    def of(cls, notification: Notification) -> Self:
        """Return how far it is."""
        return cls.model_construct(
            status=notification.status,
            tries=notification.tries,
            next_try_at=notification.next_try_at,
            last_error=notification.last_error,
        )


class WatchedRun(HistoryItem):
    """A prompt, what became of it, and who was told."""

    webhook: WebhookState | None = None
    """Only there if one was asked for."""


async def watched(request: Request, run: Run) -> dict[str, Any]:
    """Return how `run` looks to its owner, with how far its webhook is."""
    if settings_of(request).webhooks:
        known = await storage_of(request).find_notification(run)
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
    Return the webhooks to keep with a new run.

    Args:
        request: What asks for them.
        user: Who.
        url: Where they go.
        events: What they tell of.
        form: How they tell it.
        origin: Of this server, as the client wrote it.

    Raises:
        InvalidRequest: None are sent there, or at all.
    """
    settings = settings_of(request)
    if not settings.webhooks:
        raise _refusal(
            "This server sends no webhooks; nothing was stored. Leave it out, and ask "
            "until the answer is there, or follow it. (An operator can set "
            "LLAMAKEEP_WEBHOOKS=true.)"
        )
    try:
        target = Guard(settings.webhook_networks).target(url)
    except NotAllowed as error:
        raise _refusal(f"{error} Nothing was stored.") from None
    await storage_of(request).webhook_secrets(user, fresh=new_secret())
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


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError("webhook", message)])
