"""
Logging in a command line through the page, however its user is logged in there.

The program makes a secret, and sends its user to the page with the SHA-256 of that, the
challenge. The page asks the user, and shows a code, which the user gives to the
program. A code is good for the program alone that knows the secret, as an authorization
code with PKCE (RFC 7636) is.
"""

from datetime import timedelta
from hashlib import sha256
from typing import Annotated

from fastapi import Request
from pydantic import AwareDatetime, Field

from llamakeep.api.accounts.login import LoginResponse
from llamakeep.api.accounts.passwords import Secret
from llamakeep.api.dependencies import LoggedInUser, actor_of, presented
from llamakeep.api.http.problems import problem_responses
from llamakeep.api.http.router import Router
from llamakeep.credentials.tokens import digest, new_access_token, new_login_code
from llamakeep.errors import (
    BodyTooLarge,
    InvalidRequest,
    LoginCodeRefused,
    MalformedBody,
    ScopeMissing,
    Unauthenticated,
)
from llamakeep.schemas.bodies import Body, Form
from llamakeep.schemas.text import SomeText
from llamakeep.services import services_of

router = Router(tags=["login"])

LIFETIME = timedelta(minutes=5)
"""Of a code: until the user has pasted it."""

_with_body = (MalformedBody, BodyTooLarge, InvalidRequest)


class CodeRequest(Form):
    """A program that asks to be logged in."""

    challenge: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """The SHA-256, in hexadecimal digits, of a secret that only the program knows."""
    name: Annotated[SomeText, Field(max_length=128)]
    """What the program calls itself and its computer, for the audit log."""


class CodeResponse(Body):
    """A code for that program alone."""

    code: str
    """The user gives it to the program. It is shown only once."""
    expires_at: AwareDatetime


class CodeExchange(Form):
    """A code, and what shows that it is this program's."""

    code: Secret
    verifier: Annotated[str, Field(min_length=32, max_length=256)]
    """The secret whose SHA-256 is the challenge."""


@router.post(
    "/me/login-codes/",
    status_code=201,
    responses=problem_responses(Unauthenticated, ScopeMissing, *_with_body),
)
async def issue_login_code(
    body: CodeRequest, request: Request, user: LoggedInUser
) -> CodeResponse:
    """
    Let a program log in as you, which has asked you for it.

    Its login ends when the one of this request does, at the latest.
    """
    services = services_of(request)
    code = new_login_code()
    expires_at = await services.storage.add_login_code(
        user,
        digest(code),
        challenge=body.challenge,
        name=body.name,
        lifetime=LIFETIME,
        login=digest(presented(request)),
        longest=timedelta(seconds=services.settings.access_token_lifetime),
        actor=actor_of(request, user),
    )
    return CodeResponse(code=code, expires_at=expires_at)


@router.post("/login/code/", responses=problem_responses(LoginCodeRefused, *_with_body))
async def login_with_code(body: CodeExchange, request: Request) -> LoginResponse:
    """Exchange a code of the page for an access token, once."""
    access_token = new_access_token()
    expires_at = await services_of(request).storage.use_login_code(
        digest(body.code),
        challenge=sha256(body.verifier.encode(errors="surrogatepass")).hexdigest(),
        access_token=digest(access_token),
        actor=actor_of(request),
    )
    return LoginResponse(token=access_token, expires_at=expires_at)
