"""The other nodes on a database, and requests to them."""

import hashlib
import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from llamakeep.http.client import Client
from llamakeep.http.connection import Response
from llamakeep.http.errors import ConnectError, HttpError
from llamakeep.metrics.families import Family, Series
from llamakeep.nodes.certificates import trusting
from llamakeep.nodes.outages import Outages
from llamakeep.nodes.signing import (
    DIGEST,
    NONCE,
    PROOF,
    SIGNATURE,
    digest_of,
    is_equal,
    new_nonce,
    proof,
    signed,
)
from llamakeep.storage import Storage
from llamakeep.storage.runs.nodes import Contact

CONNECT_TIMEOUT = 1.0
"""Seconds; the other node is on this machine."""

CONNECT_TIMEOUT_TLS = 2.0
"""Seconds; a packet that is lost between machines is sent again after one."""

SILENCE = 30.0
"""Seconds without a line after which a node is lost: it shows signs of life."""

_UNREACHABLE = Family(
    "llamakeep_nodes_unreachable",
    "Other nodes that this one could not reach, so that it looks in the database.",
    "gauge",
)


def place() -> str:
    """Return what processes have in common that reach each other's loopback."""
    facts = [platform.node()]
    # Containers on one machine have a loopback each. What systemd starts may not be
    # let see the first of these files.
    for path in (
        "/proc/sys/kernel/random/boot_id",
        "/etc/machine-id",
        "/proc/self/ns/net",
    ):
        with suppress(OSError):
            found = Path(path)
            is_link = found.is_symlink()
            facts.append(str(found.readlink()) if is_link else found.read_text())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


class Peers:
    """
    The other nodes on a database, as far as they can be reached.

    Those in the same place are reached on loopback, and others over TLS if they listen
    for that.

    Args:
        storage: Where nodes are.
        node: This node.
        place: Where it is, as `place` says it.
    """

    def __init__(self, storage: Storage, node: str, *, place: str) -> None:
        self._storage = storage
        self._node = node
        self._place = place
        self._outages = Outages()

    async def all(self) -> Mapping[str, Contact]:
        """Return the nodes within reach, by their names."""
        found = await self._storage.contacts()
        return {each.node: each for each in found if self._is_within_reach(each)}

    async def of_run(self, run_id: str) -> Contact | None:
        """Return the node that works on a run, if it is another one to be asked now."""
        found = await self._storage.contact_of(run_id)
        if found is None or self.is_resting(found.node):
            return None
        return found if self._is_within_reach(found) else None

    @asynccontextmanager
    async def ask(
        self, contact: Contact, method: str, path: str, *, content: bytes = b""
    ) -> AsyncIterator[Response]:
        """
        Send a request to a node, and lend its response.

        Raises:
            HttpError: It cannot be reached, is another node, or refuses.
        """
        way = way_to(contact, self._place)
        if way is None:
            raise ConnectError("It is out of reach.")
        self._outages.check(contact.node, way.connect_timeout)
        try:
            async with ask(contact, method, path, way=way, content=content) as response:
                self._outages.end(contact.node)
                yield response
        except ConnectError as error:
            self._outages.begin(contact.node, way.url, error)
            raise
        except HttpError:
            self._outages.end(contact.node)
            raise

    def collect(self) -> Sequence[Series]:
        """Return how many nodes could not be reached."""
        series = Series(_UNREACHABLE)
        series.add(amount=len(self._outages))
        return (series,)

    def is_resting(self, node: str) -> bool:
        """Return whether a node was not reached a moment ago, and is not tried now."""
        return self._outages.is_resting(node)

    def _is_within_reach(self, contact: Contact) -> bool:
        is_other = contact.node != self._node
        return is_other and way_to(contact, self._place) is not None


@dataclass(frozen=True, slots=True)
class Way:
    """How a node is reached from a place."""

    url: str
    certificate: str | None
    """What it has to show, if it is reached over TLS."""

    @property
    def connect_timeout(self) -> float:
        """Seconds that it may take to be connected."""
        return CONNECT_TIMEOUT if self.certificate is None else CONNECT_TIMEOUT_TLS


def way_to(contact: Contact, here: str) -> Way | None:
    """Return how a node is reached from a place, if it is."""
    if urlsplit(contact.address).fragment == here:
        return Way(contact.address, None)
    if contact.remote_address is None or contact.certificate is None:
        return None  # it does not listen, or is of an earlier version
    return Way(contact.remote_address, contact.certificate)


@asynccontextmanager
async def ask(
    contact: Contact, method: str, path: str, *, way: Way, content: bytes = b""
) -> AsyncIterator[Response]:
    """
    Send a request to a node, and lend its response.

    Raises:
        HttpError: It cannot be reached, is another node, or refuses.
    """
    nonce, digest = new_nonce(), digest_of(content)
    headers: Mapping[str, str] = {
        NONCE: nonce,
        DIGEST: digest,
        SIGNATURE: signed(contact.secret, method, path, nonce, digest),
    }
    client = Client(
        way.url,
        connect_timeout=way.connect_timeout,
        silence_timeout=SILENCE,
        uses_proxies=False,
        tls=None if way.certificate is None else trusting(way.certificate),
    )
    exchange = client.send(
        method, path, headers=headers, content=content, keep_alive=False
    )
    async with exchange as response:
        if response.status != HTTPStatus.OK:
            raise HttpError(f"It responds with {response.status}.")
        if not is_equal(response.header(PROOF) or "", proof(contact.secret, nonce)):
            raise HttpError("It is not the node that was meant.")
        yield response


async def lines_in(response: Response, *, longest: int) -> AsyncIterator[bytes]:
    """
    Yield the lines of a response, without their ends.

    Raises:
        HttpError: A line is longer than that, or the rest cannot be received.
    """
    rest = bytearray()  # a long line comes in many pieces
    while (data := await response.read()) is not None:
        *whole, last = data.split(b"\n")
        if whole:
            yield bytes(rest) + whole[0]
            for line in whole[1:]:
                yield line
            rest.clear()
        rest += last
        if len(rest) > longest:
            raise HttpError("It sends a line that is too long.")
