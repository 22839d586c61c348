"""`GET /metrics`, in Prometheus's text format."""

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import SecurityScopes
from starlette.responses import Response

from llamakeep.api.dependencies import AuthUser, admin_user, auth_user
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.api.middleware.forwarded import address_of
from llamakeep.domain import Scope
from llamakeep.errors import AdminOnly, ScopeMissing, Unauthenticated
from llamakeep.metrics.families import CONTENT_TYPE
from llamakeep.services import services_of

router = Router(tags=["admin"])


class Reader(AuthUser):
    """Lets addresses in that need no login, and administrators."""

    async def __call__(  # type: ignore[override] # it returns no credentials
        self, request: Request, security_scopes: SecurityScopes
    ) -> None:
        """
        Return if the request may read metrics.

        Raises:
            LlamaKeepError: It has to be an administrator's.
        """
        if not _is_let_in(request):
            await admin_user(await super().__call__(request, security_scopes))


reader = Reader(scheme_name=auth_user.scheme_name)


@router.get(
    "/metrics",
    response_class=Response,
    responses=problem_responses(Unauthenticated, AdminOnly, ScopeMissing)
    | {200: {"content": {"text/plain": {}}, "description": "Prometheus's text."}},
)
async def metrics(
    request: Request, _: Annotated[None, Security(reader, scopes=[Scope.ADMIN])]
) -> Response:
    """
    Return the metrics of this server, all of its workers added up.

    It is for administrators, and needs no login from the addresses in
    `LLAMAKEEP_METRICS_NETWORKS`, or on the port `LLAMAKEEP_METRICS_PORT`.
    """
    text = await services_of(request).metrics_text()
    return Response(text, media_type=CONTENT_TYPE)


def _is_let_in(request: Request) -> bool:
    networks = services_of(request).settings.metrics_networks
    if not networks or request.client is None:
        return False
    address = address_of(request.client.host)
    return address is not None and any(address in each for each in networks)
