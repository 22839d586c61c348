"""
Permitted addresses of webhooks, against server-side request forgery (SSRF).

The ranges are listed here, since `ipaddress.is_global` accepts several that embed
arbitrary IPv4 addresses or are not routed, depending on Python's version.
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
        "168.63.129.16/32",  # Azure's management of virtual machines
        "169.254.0.0/16",  # link-local, and clouds' metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
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
# Only this range is assigned to hosts on the Internet. Among others it excludes
# loopback, unique local, link-local, site-local and multicast addresses, and embedded
# IPv4: mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96) and NAT64 (64:ff9b::).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_CLOSED_IPV6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
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
    # Without ASCII, IGNORECASE would match letters of other alphabets as `i` or `s`.
    re.ASCII | re.IGNORECASE,
)
_LAST_LABEL_IS_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_INNER_NAMES = re.compile(
    r"(?:.*\.)?(?:localhost|local|localdomain|internal|intranet|lan|home|corp)"
    r"|.*\.home\.arpa|[^.]*"
)


class NotAllowed(ValueError):
    """A URL to which webhooks may not be sent; the message says how to fix it."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parsed URL of a webhook's receiver."""

    scheme: str
    host: str
    """A name, or an address without brackets, in lower case."""
    port: int
    path: str
    """With its query."""

    @property
    def is_plain(self) -> bool:
        """Whether it is HTTPS on the default port, which all users may use."""
        return self.scheme == "https" and self.port == PORTS["https"]

    @property
    def authority(self) -> str:
        """The host, with the port unless it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Guard:
    """
    Decides to which URLs and addresses webhooks may be sent.

    In `networks`, the operator permits any port and plain HTTP.
    """

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = networks

    def target(self, url: str) -> Target:
        """
        Parse and check `url`.

        Names are not resolved: when a webhook is sent, `allows` checks each address.

        Raises:
            NotAllowed: Webhooks may not be sent there.
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
                raise _not_permitted(target)
        elif self._networks:
            pass  # the name may resolve to an address there
        elif not target.is_plain or _INNER_NAMES.fullmatch(target.host):
            raise _not_permitted(target)
        return target

    def allows(self, target: Target, address: Address) -> bool:
        """Return whether `target` may be connected to at this address."""
        if any(address in network for network in self._networks):
            return True
        return target.is_plain and is_public(address)


def is_public(address: Address) -> bool:
    """Return whether an address is a host's on the Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_IPV4)
    return (
        address.scope_id is None
        and address in _GLOBAL_UNICAST
        and not any(address in network for network in _CLOSED_IPV6)
    )


def _address(host: str) -> Address | None:
    """Parse a host that is an address; return `None` for a name."""
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host or _LAST_LABEL_IS_A_NUMBER.fullmatch(host):
            raise NotAllowed(
                "The host is not a name, and not an address as it is usually written."
            ) from None
    return None


def _not_permitted(target: Target) -> NotAllowed:
    if not target.is_plain:
        return NotAllowed("Send a URL that begins with https:// and names no port.")
    return NotAllowed(
        "Webhooks are only sent to hosts on the Internet. An operator can open other "
        "networks with LLAMAKEEP_WEBHOOK_NETWORKS."
    )
