"""Replicate's route for the secret that signs webhooks."""

from fastapi import Request, Response

from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.replicate.access import PREFIX, PromptingUser
from llamakeep.api.webhooks.secrets import webhooks_are_sent
from llamakeep.errors import PathNotFound, ScopeMissing, Unauthenticated
from llamakeep.schemas.bodies import Body
from llamakeep.services import services_of
from llamakeep.webhooks.signing import new_secret

router = Router(prefix=PREFIX, tags=["replicate"], queries=Queries.VENDORS)


class WebhookSigningSecret(Body):
    """The secret that signs your webhooks."""

    key: str


@router.get(
    "/webhooks/default/secret",
    responses=problem_responses(Unauthenticated, ScopeMissing, PathNotFound),
)
async def default_secret(
    request: Request, response: Response, user: PromptingUser
) -> WebhookSigningSecret:
    """Return the secret that signs your webhooks; all APIs share it."""
    webhooks_are_sent(request)
    response.headers["Cache-Control"] = "no-store"
    known = await services_of(request).storage.webhook_secrets(user, fresh=new_secret())
    return WebhookSigningSecret(key=known.secret)
