"""Servers on other machines that are reached, and those that are not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from llamakeep.check.nodes import check_nodes
from llamakeep.nodes.certificates import new_certificate
from llamakeep.nodes.listening import Listening, listen
from llamakeep.settings import Settings
from llamakeep.storage import open_storage
from llamakeep.storage.runs.nodes import Contact
from tests.nodes.ports import tls_port
from tests.server.echoing import echo

pytestmark = pytest.mark.slow


@pytest.fixture
async def shared(settings: Settings, clean_postgres_url: str) -> Settings:
    return settings.model_copy(update={"database_url": clean_postgres_url})


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    found = await asyncio.to_thread(
        listen, "node_1", here="there", at=("127.0.0.1", 0), most_ports=1
    )
    async with tls_port(found, echo):
        yield found
    found.close()


async def join(settings: Settings, *contacts: Contact) -> None:
    async with open_storage(settings.database_url) as storage:
        for each in contacts:
            await storage.join(each.node, lease=60, contact=each)


async def test_servers_that_do_not_listen_for_others_are_not_missed(
    shared: Settings,
) -> None:
    await join(shared, Contact("node_1", "http://127.0.0.1:1#there", "secret"))

    assert await check_nodes(shared) == []


async def test_an_address_of_another_computer_fails_before_the_first_start(
    shared: Settings,
) -> None:
    await join(shared)
    update = {"node_address": "192.0.2.1:8001"}

    [found] = await check_nodes(shared.model_copy(update=update))

    assert found.level == "failed"
    assert "192.0.2.1 is no address of this computer" in found.message
    assert "LLAMAKEEP_NODE_ADDRESS" in found.fix


async def test_servers_that_are_reached_are_counted(
    shared: Settings, listening: Listening
) -> None:
    await join(shared, listening.contact)

    [found] = await check_nodes(shared)

    assert found.level == "ok"
    assert "All 1 are reached" in found.message


async def test_a_server_with_another_certificate_and_one_without_an_address_are_told(
    shared: Settings, listening: Listening
) -> None:
    _, another = await asyncio.to_thread(new_certificate)
    silent = Contact("node_2", "http://127.0.0.1:1#there", "secret")
    await join(shared, replace(listening.contact, certificate=another), silent)

    wrong, missing = await check_nodes(shared)

    assert wrong.level == "failed"
    assert "another certificate" in wrong.message
    assert "firewall" in wrong.fix
    assert missing.level == "warning"
    assert "1 of 2 running servers" in missing.message
