"""Requests to other nodes on the same database."""

import hashlib
import logging
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from llamakeep.http.client import Client
from llamakeep.http.connection import Response
from llamakeep.http.errors import HttpError
from llamakeep.nodes.signing import (
    NONCE,
    PROOF,
    SIGNATURE,
    is_equal,
    new_nonce,
    proof,
    signed,
)
from llamakeep.storage.runs.nodes import Contact

CONNECT_TIMEOUT = 1.0
"""Seconds; the other node is on this machine."""

SILENCE = 30.0
"""Seconds without a line after which a node is lost: it shows signs of life."""

log = logging.getLogger(__name__)


def place() -> str:
    """Return what processes have in common that reach each other's loopback."""
    facts = [platform.node()]
    # Containers on one machine have a loopback each.
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/net"):
        with suppress(OSError):
            found = Path(path)
            is_link = found.is_symlink()
            facts.append(str(found.readlink()) if is_link else found.read_text())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def is_within_reach(contact: Contact, here: str) -> bool:
    """Return whether a node can be reached from a place."""
    return urlsplit(contact.address).fragment == here


@asynccontextmanager
async def ask(
    contact: Contact, method: str, path: str, *, content: bytes = b""
) -> AsyncIterator[Response]:
    """
    Send a request to a node, and lend its response.

    Raises:
        HttpError: It cannot be reached, is another node, or refuses.
    """
    nonce = new_nonce()
    headers: Mapping[str, str] = {
        NONCE: nonce,
        SIGNATURE: signed(contact.secret, method, path, nonce, content),
    }
    client = Client(
        contact.address,
        connect_timeout=CONNECT_TIMEOUT,
        silence_timeout=SILENCE,
        uses_proxies=False,
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
