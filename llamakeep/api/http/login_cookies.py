"""
The cookie that keeps a browser logged in.

Its value is an access token. Over TLS its name begins with `__Host-`, so that no other
host and no page without TLS can set it; over plain HTTP browsers would drop such a
cookie. The rest of the name is made of the server's address: cookies know no ports, and
two servers on one host must not overwrite each other's.
"""

from datetime import timedelta
from functools import lru_cache
from hashlib import sha256

from fastapi import Request

from llamakeep.api.http.headers import cookies_of, sole_header
from llamakeep.api.http.links import origin_of
from llamakeep.api.http.origins import check_origin
from llamakeep.errors import Unauthenticated

SET_COOKIE = "set_cookie"
"""In a request's scope: the value of the response's header `Set-Cookie`."""

COOKIE_NAME = "login_cookie"
"""In a request's scope: the name of the cookie that authenticates it."""

LONGEST = timedelta(days=400)
"""How long browsers keep a cookie at most."""

_SECURE = "__Host-"


def token_in_cookie(request: Request) -> str:
    """
    Return the access token in the login cookie; an empty text if there is none.

    Raises:
        Unauthenticated: There are several.
        OriginRefused: It was not sent by a page of this server.
    """
    sent = cookies_of(request)
    if not sent:
        return ""
    name = _name(request)
    names = [_SECURE + name]
    if request.scope["scheme"] != "https":
        names.append(name)
    for name in names:
        found = {value for known, value in sent if known == name and value}
        if len(found) > 1:
            raise Unauthenticated(
                "The browser sent several login cookies of this server. Delete its "
                "cookies for this address, and log in again."
            )
        if found:
            check_origin(request)
            request.scope[COOKIE_NAME] = name
            return found.pop()
    return ""


def give_cookie(
    request: Request, access_token: str, lifetime: timedelta, *, is_secure: bool = False
) -> None:
    """
    Have the browser keep an access token, as long as it is valid.

    Args:
        request: The request that is answered.
        access_token: What the cookie has.
        lifetime: For how long.
        is_secure: Whether the browser is known to use TLS, whatever the request says.
    """
    is_secure |= request.scope["scheme"] == "https"
    # A proxy that is not trusted may have ended TLS; what the browser says counts then.
    is_secure |= sole_header(request, "Origin").startswith("https://")
    name = (_SECURE if is_secure else "") + _name(request)
    _set(request, request.scope.get(COOKIE_NAME, name), access_token, lifetime)


def take_cookie(request: Request) -> None:
    """Have the browser forget the cookie that authenticated this request, if any."""
    if COOKIE_NAME in request.scope:
        _set(request, request.scope[COOKIE_NAME], "", timedelta(0))


def _set(request: Request, name: str, value: str, lifetime: timedelta) -> None:
    seconds = int(min(lifetime, LONGEST).total_seconds())
    text = f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
    if name.startswith(_SECURE):
        text += "; Secure"
    request.scope[SET_COOKIE] = text.encode()


def _name(request: Request) -> str:
    return _name_at(origin_of(request).partition("://")[2].lower())


@lru_cache(maxsize=16)
def _name_at(address: str) -> str:
    return f"llamakeep-{sha256(address.encode()).hexdigest()[:12]}"
