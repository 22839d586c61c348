"""
Checks of Host and Origin, for servers meant for this computer only.

A web page elsewhere can let its own name point at 127.0.0.1 and then read responses
(DNS rebinding): address and origin are right, the name is not. And any page may send
simple requests, without reading the responses.
"""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

_LOOPBACK = IPv4Network("127.0.0.0/8")
_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(?::\d*)?")


@lru_cache(maxsize=64)  # called for each request
def is_loopback(name: str) -> bool:
    """Return whether a host's name or address is this computer's."""
    try:
        address = ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return name.lower().removesuffix(".") == "localhost"
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if isinstance(address, IPv4Address):
        return address in _LOOPBACK
    return address.is_loopback


def refusal_of(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
) -> str | None:
    """
    Return what is wrong with `Host` or `Origin`; `None` if nothing is.

    Args:
        headers: The request's, with names in lower case.
        hosts: Names of the server that are as good as `localhost`.
        origins: Other origins whose pages may send requests.
    """
    authority, foreign = "", None
    for header, value in headers:
        if header == b"host":
            authority = value.decode("latin-1")
            match = _AUTHORITY.fullmatch(authority)
            name = match[1] if match else authority
            if not (name in hosts or is_loopback(name)):
                return f"the host {authority[:100]!a}"
        elif header == b"origin" and (origin := value.decode("latin-1")) not in origins:
            foreign = origin
    if foreign is not None:
        own = foreign.partition("://")[2].lower()
        if not own or own != authority.lower():
            return f"pages of the origin {foreign[:100]!a}"
    return None
