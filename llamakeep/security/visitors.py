"""
Which requests a server that is meant for this computer takes.

A web page elsewhere can have its own name point at 127.0.0.1, and then read what it
likes (DNS rebinding): the address is right, and so is the origin; the name is not. And
any page may send simple requests without reading the answers.
"""

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

_LOOPBACK = IPv4Network("127.0.0.0/8")
_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(?::\d*)?")


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address means this computer itself."""
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
    Return what is wrong with the request's `Host` or `Origin`; `None` if nothing is.

    Args:
        headers: The request's, with names in lower case.
        hosts: Names of the server that are as good as `localhost`.
        origins: Other origins whose pages may send requests.
    """
    authorities = [value.decode("latin-1") for n, value in headers if n == b"host"]
    for authority in authorities:
        match = _AUTHORITY.fullmatch(authority)
        name = match[1] if match else authority
        if not (is_loopback(name) or name in hosts):
            return f"the host {authority[:100]!a}"
    for name, value in headers:
        origin = value.decode("latin-1")
        if name == b"origin" and origin not in origins:
            _, _, authority = origin.partition("://")
            if authority.lower() not in {each.lower() for each in authorities}:
                return f"pages of the origin {origin[:100]!a}"
    return None
