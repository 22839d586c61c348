"""
Whether a request comes from a page of this server's own.

A browser adds a cookie to requests of all pages of the same site, and cookies know no
ports: `SameSite=Strict` does not keep a page on another port of the same host from
sending forms with it. What tells them apart is `Origin`, which pages cannot set.
"""

from fastapi import Request

from llamakeep.api.http.headers import sole_header
from llamakeep.errors import UNREAD, OriginRefused
from llamakeep.services import services_of

_READING = {"GET", "HEAD"}
_PORTS = {"http": ":80", "https": ":443"}
"""Browsers leave these out; proxies may not."""


def check_origin(request: Request) -> None:
    """
    Check a request that a browser may have added a cookie to.

    What changes nothing may come without `Origin`: browsers send none when they read.

    Raises:
        OriginRefused: It comes from another page, or does not say from where.
    """
    origin = sole_header(request, "Origin")
    site = sole_header(request, "Sec-Fetch-Site")
    own = own_origins(request)
    if site in {"", "none", "same-origin"}:
        if origin and _plain(origin) in own:
            return
        if not origin and (site == "same-origin" or request.method in _READING):
            return
    source = f"a page of {origin[:100]!a}" if origin else "another page, or a program"
    raise OriginRefused(
        f"The login cookie came from {source}; this server's pages are at "
        f"{' and '.join(own)}. {UNREAD} Programs send an access token or an API key "
        "instead. If this is a page of this server behind a proxy, let the proxy send "
        "Host and X-Forwarded-Proto and name it in LLAMAKEEP_TRUSTED_PROXIES, or set "
        "LLAMAKEEP_PUBLIC_URL."
    )


def own_origins(request: Request) -> list[str]:
    """Return the origins of this server's pages, as this request reaches it."""
    host = sole_header(request, "Host")
    own = [_plain(f"{request.scope['scheme']}://{host}")]
    public_url = services_of(request).settings.public_url
    if public_url is not None:
        own.append(_plain("/".join(str(public_url).split("/")[:3])))
    return list(dict.fromkeys(own))


def _plain(origin: str) -> str:
    origin = origin.lower()
    return origin.removesuffix(_PORTS.get(origin.partition(":")[0], "\0"))
