"""
The cookie of a browser that is signing in at an identity provider.

It ties the provider's redirect to the browser that began. Unlike the login cookie it
comes with requests that other sites begin, as that redirect is; it authenticates no
request.
"""

from fastapi import Request
from starlette.responses import Response

from llamakeep.api.http.headers import cookies_of
from llamakeep.api.http.links import origin_of, prefix_of

_NAME = "llamakeep-sign-in"
_PATH = "/login/oidc"


def is_secure(request: Request) -> bool:
    """Return whether the browser reaches this server with TLS."""
    return origin_of(request).startswith("https://")


def read_flow(request: Request) -> str:
    """Return what the cookie keeps; an empty text if there is none, or several."""
    name = _name(request)
    found = {value for known, value in cookies_of(request) if known == name}
    return found.pop() if len(found) == 1 else ""


def keep_flow(request: Request, response: Response, flow: str, seconds: int) -> None:
    """Have the browser keep `flow`; with no seconds, forget it."""
    response.set_cookie(
        _name(request),
        flow,
        max_age=seconds,
        path=f"{prefix_of(request)}{_PATH}",
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )


def _name(request: Request) -> str:
    # With this prefix, neither a page without TLS nor another host can set it over TLS;
    # `__Host-` would want the path `/`, which all requests have.
    return f"__Secure-{_NAME}" if is_secure(request) else _NAME
