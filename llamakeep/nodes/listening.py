"""Where a node listens for the others."""

import errno
import logging
import socket
import ssl
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from llamakeep.errors import NodeAddressUnusable
from llamakeep.nodes.certificates import new_certificate
from llamakeep.nodes.signing import new_secret
from llamakeep.storage.runs.nodes import Contact

BACKLOG = 64

_FIX = (
    "Set LLAMAKEEP_NODE_ADDRESS to an address that `ip address` lists and other nodes "
    "can connect to, with a free port."
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Listening:
    """The sockets of a node for the others."""

    contact: Contact
    """What the others have to know."""
    near: socket.socket = field(default_factory=socket.socket)
    """On loopback, for those on the same machine."""
    far: socket.socket | None = None
    """For those on other machines, over TLS."""
    tls: ssl.SSLContext | None = None
    """What is shown to them."""

    def close(self) -> None:
        """Listen no more."""
        self.near.close()
        if self.far is not None:
            self.far.close()


def listen(
    node: str, *, here: str, at: tuple[str, int] | None, most_ports: int
) -> Listening:
    """
    Begin to listen; it blocks.

    Args:
        node: The node.
        here: Where it is, as `place` says it.
        at: The address for nodes on other machines, and the first port to try.
        most_ports: How many ports to try.

    Raises:
        NodeAddressUnusable: Nothing can listen there.
    """
    listening = Listening(Contact(node, "", new_secret()))
    try:
        listening.near.bind(("127.0.0.1", 0))
        near = f"http://127.0.0.1:{listening.near.getsockname()[1]}#{here}"
        listening.contact = replace(listening.contact, address=near)
        if at is not None:
            listening.tls, certificate = new_certificate()
            listening.far = _listener(*at, most=most_ports)
            far = _url(*listening.far.getsockname()[:2])
            listening.contact = replace(
                listening.contact, remote_address=far, certificate=certificate
            )
            log.info("nodes on other machines reach this one at %s", far)
            if ip_address(at[0]).is_loopback:
                log.warning("no other machine reaches %s: it is loopback", at[0])
    except BaseException:
        listening.close()
        raise
    return listening


def _listener(host: str, first: int, *, most: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = min(first + most - 1, 65535) if first else 0
    for port in range(first, last + 1):
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            is_elsewhere = error.errno == errno.EADDRNOTAVAIL
            reason = "it is no address of this computer" if is_elsewhere else str(error)
            said = f"Cannot listen for other nodes on {host}, port {port}: {reason}."
            raise NodeAddressUnusable(f"{said} {_FIX}") from error
    ports = f"port {first} is" if first == last else f"ports {first} to {last} are"
    raise NodeAddressUnusable(
        f"Cannot listen for other nodes on {host}: {ports} in use. {_FIX}"
    )


def _url(host: str, port: int) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
