"""Runs of one node that are followed, and canceled, at another one."""

import asyncio
import statistics
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest

from llamakeep.http.errors import HttpError
from llamakeep.nodes.certificates import trusting
from llamakeep.nodes.peers import Way, ask, way_to
from llamakeep.storage.runs.nodes import Contact
from tests.acceptance.processes import ServerProcess
from tests.acceptance.test_crashes import received
from tests.acceptance.test_nodes import (
    NOTICED,
    NewNodes,
    begin,
    connection,
    new_nodes,
    owner_of,
    until_taken,
)

__all__ = ["connection", "new_nodes"]

LATER = 0.2
"""Seconds, on a machine that does much else; a look at the database takes 0.25."""


async def read(node: ServerProcess, run_id: str) -> tuple[str, list[float]]:
    """Return the text that a reader has at the end, and when its parts came."""
    text, times = "", []
    async with node.client.sse(f"/history/{run_id}/stream") as source:
        async for one in source:
            if one.event == "delta":
                text += received(one.json())["text"]
                times.append(time.monotonic())
            elif one.event == "reset":
                text, times = received(one.json())["text"], []
    return text, times


async def contact_of(connection: asyncpg.Connection, owner: str) -> Contact:
    query = (
        "SELECT id, address, secret, remote_address, certificate"
        " FROM nodes WHERE id = $1"
    )
    return Contact(*await connection.fetchrow(query, owner))


ARE_APART = pytest.mark.parametrize("are_apart", [False, True])
"""On one machine, or on one each, as far as they know: over TLS."""


@ARE_APART
async def test_a_word_reaches_readers_at_another_node_at_once_by_one_connection(
    new_nodes: NewNodes, connection: asyncpg.Connection, are_apart: bool
) -> None:
    home, other = await new_nodes(are_apart=are_apart)
    run_id = await begin(home)
    contact = await contact_of(connection, await owner_of(connection, run_id))
    readers = [asyncio.create_task(read(each, run_id)) for each in (home, *[other] * 5)]
    await asyncio.sleep(1)
    address = contact.remote_address if are_apart else contact.address
    connections = await asyncio.to_thread(connections_to, str(address))

    (text, at_home), *others = await asyncio.gather(*readers)

    assert text.count(" ") == 300
    assert [each for each, _ in others] == [text] * 5
    assert connections == 1
    for _, there in others:
        later = [b - a for a, b in zip(at_home[-100:], there[-100:], strict=True)]
        assert statistics.median(later) < LATER


def connections_to(address: str) -> int:
    """Return how many connections there are to a node's port, at its end."""
    port = urlsplit(address).port
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    wanted = f"0100007F:{port:04X}"
    return sum(line.split()[1] == wanted and line.split()[3] == "01" for line in lines)


@ARE_APART
async def test_a_run_is_canceled_at_once_at_another_node(
    new_nodes: NewNodes, are_apart: bool
) -> None:
    home, other = await new_nodes(are_apart=are_apart)
    run_id = await begin(home)
    began = time.monotonic()

    canceled = await other.client.post(f"/history/{run_id}/cancel")

    assert canceled.json()["status"] == "canceled"
    assert time.monotonic() - began < NOTICED / 4  # its node looks every 15 seconds


@ARE_APART
async def test_who_reads_at_another_node_goes_on_reading_when_the_first_one_is_killed(
    new_nodes: NewNodes, connection: asyncpg.Connection, are_apart: bool
) -> None:
    home, other = await new_nodes(are_apart=are_apart)
    run_id = await begin(home)
    owner = await owner_of(connection, run_id)
    reading = asyncio.create_task(read(other, run_id))
    await asyncio.sleep(1.5)

    await home.stop()

    await until_taken(connection, run_id, owner)
    text, _ = await reading
    assert text == (await other.run(run_id))["response"]
    assert text.count(" ") == 300


@ARE_APART
async def test_nobody_else_is_told_anything_at_a_nodes_port(
    new_nodes: NewNodes, connection: asyncpg.Connection, are_apart: bool
) -> None:
    [node] = await new_nodes(1, are_apart=are_apart)
    run_id = await begin(node)
    contact = await contact_of(connection, await owner_of(connection, run_id))
    path = f"/runs/{run_id}"
    login = dict(node.client.headers)
    way = way_to(contact, "elsewhere" if are_apart else fragment_of(contact))
    assert way is not None
    tls = trusting(contact.certificate) if contact.certificate else False
    async with httpx2.AsyncClient(
        base_url=way.url.partition("#")[0], trust_env=False, verify=tls
    ) as client:
        for headers in ({}, login, {"x-node-nonce": "1", "x-node-signature": "1"}):
            assert (await client.get(path, headers=headers)).status_code == 401
        assert (await client.get("/history/", headers=login)).status_code == 404
    assert (await node.client.get(path)).status_code == 404

    async with ask(contact, "GET", path, way=way) as response:
        assert b"attempt" in (await response.read() or b"")
    other = replace(contact, secret="another secret")
    with pytest.raises(HttpError, match="401"):
        async with ask(other, "GET", path, way=way):
            pass


def fragment_of(contact: Contact) -> str:
    return urlsplit(contact.address).fragment


async def test_what_listens_there_now_has_to_prove_that_it_is_the_node() -> None:
    async def respond(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        contact = Contact("node_1", f"http://127.0.0.1:{port}", "secret")
        way = Way(contact.address, certificate=None)
        with pytest.raises(HttpError, match="not the node"):
            async with ask(contact, "GET", "/runs/run_1", way=way):
                pass
