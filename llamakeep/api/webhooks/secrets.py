"""The secrets that sign users' webhooks."""

from datetime import timedelta

from fastapi import Request, Response
from pydantic import AwareDatetime

from llamakeep.api.dependencies import KeysUser, PromptingUser, actor_of
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.errors import PathNotFound, ScopeMissing, Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.storage.accounts.webhook_secrets import WebhookSecrets
from llamakeep.webhooks.signing import new_secret

router = Router(prefix="/me/webhook-secret", tags=["webhooks"])

OVERLAP = timedelta(days=1)
"""How long the previous secret signs as well."""

_responses = problem_responses(Unauthenticated, ScopeMissing, PathNotFound)


class WebhookSecretResponse(Body):
    """The secret that signs your webhooks."""

    secret: str
    """`whsec_` and the key in base64, as in Standard Webhooks."""
    previous_until: AwareDatetime | None
    """Until then, webhooks are also signed with the previous secret."""

    @classmethod
    def of(cls, secrets: WebhookSecrets) -> "WebhookSecretResponse":
        """Return the body for `secrets`."""
        is_shared = len(secrets.now()) > 1
        return cls(
            secret=secrets.secret,
            previous_until=secrets.previous_until if is_shared else None,
        )


def webhooks_are_sent(request: Request) -> None:
    """
    Check that this server sends webhooks.

    Raises:
        PathNotFound: It does not.
    """
    if not services_of(request).settings.webhooks:
        raise PathNotFound(
            "This server sends no webhooks, so there is no secret to check them with. "
            "(An operator can set LLAMAKEEP_WEBHOOKS=true.)"
        )


@router.get("", responses=_responses)
async def webhook_secret(
    request: Request, response: Response, user: PromptingUser
) -> WebhookSecretResponse:
    """Return the secret that signs your webhooks; it is created at first use."""
    webhooks_are_sent(request)
    response.headers["Cache-Control"] = "no-store"
    storage = services_of(request).storage
    return WebhookSecretResponse.of(
        await storage.webhook_secrets(user, fresh=new_secret())
    )


@router.post("/rotate", responses=_responses)
async def rotate_webhook_secret(
    request: Request, response: Response, user: KeysUser
) -> WebhookSecretResponse:
    """
    Replace the secret that signs your webhooks.

    For a day they are signed with the previous one, too, so that receivers can be
    updated in the meantime.
    """
    webhooks_are_sent(request)
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecretResponse.of(
        await services_of(request).storage.rotate_webhook_secret(
            user,
            fresh=new_secret(),
            overlap=OVERLAP,
            actor=actor_of(request, user),
        )
    )
