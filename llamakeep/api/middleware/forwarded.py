"""
The headers `X-Forwarded-For`, `-Proto` and `-Prefix` of trusted proxies.

They count only when the connection comes from a trusted proxy. A request with a
malformed one is refused, since its client cannot be known.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from llamakeep.api.http.problems import render_error
from llamakeep.errors import UNREAD, UnusableHeader
from llamakeep.settings import Settings
from llamakeep.settings.values import PREFIX

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_HOPS = 16
"""How many addresses of `X-Forwarded-For` are read, from the last one."""

PROXY_USER = "proxy_user"
"""In a request's scope: the user that the proxy has authenticated, or an empty text."""

LONGEST_USER = 255

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PORT = re.compile(r"\[(?P<six>[^]]+)\](?::\d+)?|(?P<four>[0-9.]+):\d+")


def believe_proxies(app: FastAPI, settings: Settings) -> None:
    """Have `app` use the headers of trusted proxies, if any are configured."""
    prefix = settings.path_prefix
    if settings.trusted_proxies or prefix:
        app.add_middleware(
            Forwarded,
            trusted=settings.trusted_proxies,
            prefix=prefix,
            user_header=settings.proxy_user_header,
        )


class Forwarded:
    """
    Replaces a request's client, scheme and prefix by those that trusted proxies report.

    The `prefix` is for proxies that report none. `user_header` is where they report
    the user that they have authenticated; from other clients it is ignored.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted: Sequence[Network],
        prefix: str,
        user_header: str | None = None,
    ) -> None:
        self._user_header = (user_header or "").lower().encode()
        self._app = app
        self._trusted = trusted
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request as its client sent it."""
        if scope["type"] == "http":
            try:
                self._look(scope)
            except UnusableHeader as error:
                response = await render_error(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _look(self, scope: Scope) -> None:
        prefix = self._prefix
        if prefix and f"{scope['path']}/".startswith(f"{prefix}/"):
            # This proxy does not strip the prefix.
            scope["path"] = scope["path"][len(prefix) :] or "/"
            scope["raw_path"] = quote(scope["path"]).encode()
        if self._trusted and self._is_trusted(_peer(scope)):
            said = _said(scope)
            client = self._client(said.get(b"x-forwarded-for", []))
            if client is not None:
                scope["client"] = (client, 0)
            scheme = _scheme(said.get(b"x-forwarded-proto", []))
            if scheme is not None:
                scope["scheme"] = scheme
            prefix = _prefix(said.get(b"x-forwarded-prefix", [])) or prefix
            if self._user_header:
                scope[PROXY_USER] = _user(scope, self._user_header)
        if prefix:
            scope["prefix"] = prefix

    def _client(self, values: Sequence[str]) -> str | None:
        """Return the last address that is no trusted proxy's; earlier ones may lie."""
        address = None
        for value in reversed(values[-MOST_HOPS:]):
            address = address_of(value)
            if address is None:
                raise _unusable("X-Forwarded-For", "an address")
            if not self._is_trusted(address):
                break
        return None if address is None else str(address)

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(
            address in network for network in self._trusted
        )


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return address_of(client[0]) if client else None


def _said(scope: Scope) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        if name.startswith(b"x-forwarded-"):
            parts = (part.strip() for part in value.decode("latin-1").split(","))
            found.setdefault(name, []).extend(part for part in parts if part)
    return found


def address_of(value: str) -> Address | None:
    """Parse an address with or without a port; IPv4 mapped into IPv6 becomes IPv4."""
    match = _PORT.fullmatch(value)
    if match is not None:
        value = match["six"] or match["four"]
    try:
        address = ip_address(value)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without its zone
    return address


def _user(scope: Scope, header: bytes) -> str:
    found: set[bytes] = {value for name, value in scope["headers"] if name == header}
    if not found:
        return ""
    user = found.pop().decode(errors="replace").strip()
    if (
        found
        or len(user) > LONGEST_USER
        or not user.replace("\ufffd", "\0").isprintable()
    ):
        raise _unusable(header.decode(), "one name of at most 255 characters")
    return user


def _scheme(values: Sequence[str]) -> str | None:
    if not values:
        return None
    scheme = _SCHEMES.get(values[-1].lower())
    if scheme is None:
        raise _unusable("X-Forwarded-Proto", "`http` or `https`")
    return scheme


def _prefix(values: Sequence[str]) -> str:
    """Return the prefixes that proxies stripped, the outermost first."""
    prefixes = [value.rstrip("/") for value in values]
    if not all(PREFIX.fullmatch(prefix) for prefix in prefixes if prefix):
        raise _unusable("X-Forwarded-Prefix", "a path such as `/llm`")
    return "".join(prefixes)


def _unusable(name: str, wanted: str) -> UnusableHeader:
    return UnusableHeader(
        f"A proxy of this server sent a header {name} that is not {wanted}. "
        f"{UNREAD} Let the proxy overwrite what clients send: see docs/security.md."
    )
