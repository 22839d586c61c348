"""
Where webhooks may be sent: a user's URL must not reach what only this server can.

The ranges are our own, since Python's `ipaddress.is_global` takes several for global
that lead to IPv4 addresses of any kind, or nowhere, depending on its version.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PORTS = {"https": 443, "http": 80}
_LONGEST_NAME = 253

_CLOSED_IPV4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # what Azure's machines are managed through
        "169.254.0.0/16",  # link-local, and what clouds tell their machines
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols' own
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
# Nothing outside it is anybody's on the Internet. Among others that shuts out loopback,
# unique local, link-local, site-local and multicast addresses, and IPv4 addresses that
# are mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96) or behind NAT64 (64:ff9b::).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_CLOSED_IPV6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols' own: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?](?:(?![\\#])[!-~])*)?",
    # Without ASCII, three letters of other alphabets would be an `i` or an `s`.
    re.ASCII | re.IGNORECASE,
)
_LAST_LABEL_IS_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_INNER_NAMES = re.compile(
    r"(?:.*\.)?(?:localhost|local|localdomain|internal|intranet|lan|home|corp)"
    r"|.*\.home\.arpa|[^.]*"
)


class NotAllowed(ValueError):
    """A URL to which webhooks may not be sent; it says how to mend it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook goes."""

    scheme: str
    host: str
    """A name, or an address without brackets, in lower case."""
    port: int
    path: str
    """With its query."""

    @property
    def is_plain(self) -> bool:
        """Whether it is what anybody may have: HTTPS on its own port."""
        return self.scheme == "https" and self.port == PORTS["https"]

    @property
    def authority(self) -> str:
        """The host, with the port where it is not its scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Guard:
    """
    Decides where webhooks may be sent.

    Args:
        networks: The operator's own, where any port and plain HTTP will do.
    """

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    def target(self, url: str) -> Target:
        """
        Return where `url` leads, as far as it says so itself.

        Names are not looked up: `allows` is asked about each address they have when
        something is sent.

        Raises:
            NotAllowed: Nothing may be sent there.
        """
        match = _URL.fullmatch(url)
        if match is None:
            raise NotAllowed(
                "Send an https URL in ASCII, without username, password and fragment."
            )
        scheme, host = match["scheme"].lower(), match["host"].lower()
        target = Target(
            scheme=scheme,
            host=host.strip("[]").removesuffix("."),
            port=int(match["port"] or PORTS[scheme]),
            path="/" + (match["path"] or "").removeprefix("/"),
        )
        if not 0 < target.port < 2**16 or len(target.host) > _LONGEST_NAME:
            raise NotAllowed("There is no such host, or no such port.")
        address = _address(target.host)
        if address is not None:
            if not self.allows(target, address):
                raise _not_for_anybody(target)
        elif self._networks:
            pass  # it may have an address there
        elif not target.is_plain or _INNER_NAMES.fullmatch(target.host):
            raise _not_for_anybody(target)
        return target

    def allows(self, target: Target, address: Address) -> bool:
        """Return whether `target`, which has this address, may be connected to."""
        if any(address in network for network in self._networks):
            return True
        return target.is_plain and is_public(address)


def is_public(address: Address) -> bool:
    """Return whether an address is a single machine's somewhere on the Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_IPV4)
    return (
        address.scope_id is None
        and address in _GLOBAL_UNICAST
        and not any(address in network for network in _CLOSED_IPV6)
    )


def _address(host: str) -> Address | None:
    """
    Return the address that a host is, `None` if it is a name.

    Raises:
        NotAllowed: It is a number that would be taken for some address.
    """
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host or _LAST_LABEL_IS_A_NUMBER.fullmatch(host):
            raise NotAllowed(
                "The host is not a name, and not an address as it is usually written."
            ) from None
    return None


def _not_for_anybody(target: Target) -> NotAllowed:
    if not target.is_plain:
        return NotAllowed("Send a URL that begins with https:// and names no port.")
    return NotAllowed(
        "Webhooks are only sent to hosts on the Internet. An operator can open other "
        "networks with LLAMAKEEP_WEBHOOK_NETWORKS."
    )
