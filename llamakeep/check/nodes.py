"""Whether servers on other machines can be reached, as far as they listen for that."""

import asyncio
import socket
from collections.abc import Sequence
from functools import partial

from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.check.threads import in_thread
from llamakeep.errors import LlamaKeepError
from llamakeep.http import ConnectError, HttpError
from llamakeep.nodes.outages import reason_of
from llamakeep.nodes.peers import Way, ask
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from llamakeep.storage.runs.nodes import Contact

ABOUT = "nodes"

MOST_AT_ONCE = 16


async def check_nodes(settings: Settings) -> list[Finding]:
    """Return whether this machine reaches the servers that share the database."""
    try:
        async with open_storage(settings.database_url, is_owner=False) as storage:
            alive = {each.id for each in await storage.nodes() if not each.is_expired}
            contacts = [each for each in await storage.contacts() if each.node in alive]
    except LlamaKeepError:
        return []  # the check of the database says it
    listening = [each for each in contacts if each.remote_address is not None]
    found = [*await in_thread(partial(_own, settings)), *await _reached(listening)]
    silent = len(contacts) - len(listening)
    if silent and (listening or settings.node_address):
        found.append(
            warning(
                ABOUT,
                f"{silent} of {len(contacts)} running servers do not listen for "
                "others: their runs are read in the database.",
                "Set LLAMAKEEP_NODE_ADDRESS on each machine to its own address, and "
                "restart its server.",
            )
        )
    if listening and not found:
        said = f"All {len(listening)} are reached over TLS, with their certificates."
        found.append(ok(ABOUT, said))
    return found


def _own(settings: Settings) -> list[Finding]:
    """Return whether the address is not this computer's; it blocks."""
    at = settings.node_host_and_port
    if at is None:
        return []
    family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
    try:
        # To a free port, so that no server is kept from its own.
        socket.create_server((at[0], 0), family=family).close()
    except OSError as error:
        return [
            failed(
                ABOUT,
                f"{at[0]} is no address of this computer: {error.strerror or error}.",
                "Set LLAMAKEEP_NODE_ADDRESS to one that `ip address` lists.",
            )
        ]
    return []


async def _reached(contacts: Sequence[Contact]) -> list[Finding]:
    """Return which nodes cannot be reached."""
    slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def check(contact: Contact) -> Finding | None:
        way = Way(str(contact.remote_address), contact.certificate)
        try:
            async with slots, ask(contact, "GET", "/runs/none", way=way):
                pass
        except ConnectError as error:
            return failed(
                ABOUT,
                f"{contact.node} cannot be reached at {way.url}: {reason_of(error)}",
                "Let a firewall pass TCP to that port, or correct "
                "LLAMAKEEP_NODE_ADDRESS on that machine; see docs/scaling.md.",
            )
        except HttpError:
            return None  # it has no such run, as it should be
        return None

    found = await asyncio.gather(*map(check, contacts))
    return [each for each in found if each is not None]
