"""What nodes on different machines prove to each other, and what they refuse."""

import asyncio
import socket
from dataclasses import replace
from http import HTTPStatus

import pytest
from cryptography import x509
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llamakeep.errors import NodeAddressUnusable
from llamakeep.http.errors import ConnectError, HttpError
from llamakeep.nodes.certificates import new_certificate
from llamakeep.nodes.listening import Listening, listen
from llamakeep.nodes.peers import Way, ask, way_to
from llamakeep.nodes.signing import NONCE, PROOF, proof
from llamakeep.storage.runs.nodes import Contact
from tests.nodes.ports import listening, tls_port

__all__ = ["listening"]

FAR = Way("https://10.0.0.5:1", "…")


def proving(contact: Contact) -> Starlette:
    """Return an application that proves to be a node."""

    async def respond(request: Request) -> Response:
        proved = proof(contact.secret, request.headers[NONCE])
        return Response("ok", headers={PROOF: proved})

    return Starlette(routes=[Route("/", respond)])


async def status_of(contact: Contact) -> HTTPStatus:
    way = way_to(contact, "here")
    assert way is not None
    async with ask(contact, "GET", "/", way=way) as response:
        return HTTPStatus(response.status)


async def test_a_node_on_another_machine_is_reached_over_tls(
    listening: Listening,
) -> None:
    async with tls_port(listening, proving(listening.contact)):
        assert await status_of(listening.contact) == 200


async def test_only_the_certificate_in_the_nodes_row_is_trusted(
    listening: Listening,
) -> None:
    _, another = await asyncio.to_thread(new_certificate)
    restarted = replace(listening.contact, certificate=another)
    async with tls_port(listening, proving(listening.contact)):
        with pytest.raises(ConnectError, match="certificate"):
            await status_of(restarted)


async def test_who_has_the_certificate_has_to_know_the_secret_too(
    listening: Listening,
) -> None:
    stranger = replace(listening.contact, secret="another")
    async with tls_port(listening, proving(stranger)):
        with pytest.raises(HttpError, match="not the node"):
            await status_of(listening.contact)


async def test_what_listens_without_tls_is_no_node(listening: Listening) -> None:
    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        elsewhere = f"https://127.0.0.1:{port}"
        with pytest.raises(ConnectError):
            await status_of(replace(listening.contact, remote_address=elsewhere))


async def test_an_address_of_ipv6_is_reached() -> None:
    try:
        listening = await asyncio.to_thread(
            listen, "node_1", here="there", at=("::1", 0), most_ports=1
        )
    except NodeAddressUnusable:
        pytest.skip("There is no IPv6 here.")
    assert (listening.contact.remote_address or "").startswith("https://[::1]:")
    async with tls_port(listening, proving(listening.contact)):
        assert await status_of(listening.contact) == 200
    listening.close()


def test_certificates_count_whatever_the_clocks_of_machines_say() -> None:
    _, certificate = new_certificate()
    found = x509.load_pem_x509_certificate(certificate.encode())

    assert found.not_valid_before_utc.year == 2000
    assert found.not_valid_after_utc.year == 9999
    assert len(certificate) < 1000


def test_nodes_on_one_machine_use_loopback_and_those_without_an_address_are_read() -> (
    None
):
    earlier = Contact("node_1", "http://127.0.0.1:1#there", "secret")
    both = replace(earlier, remote_address="https://10.0.0.5:1", certificate="…")

    assert way_to(earlier, "here") is None
    assert (way_to(earlier, "there") or FAR).url == earlier.address
    assert (way_to(both, "there") or FAR).url == earlier.address
    assert way_to(both, "here") == FAR


def test_each_worker_has_the_first_port_that_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(NodeAddressUnusable, match=f"port {port} is in use"):
            listen("node_1", here="", at=("127.0.0.1", port), most_ports=1)
        worker = listen("node_1", here="", at=("127.0.0.1", port), most_ports=20)

    assert worker.far is not None
    assert port < worker.far.getsockname()[1] < port + 20
    worker.close()


def test_an_address_of_another_computer_is_refused_with_what_to_do() -> None:
    with pytest.raises(NodeAddressUnusable, match=r"no address of this computer.*Set "):
        listen("node_1", here="", at=("192.0.2.1", 8001), most_ports=1)
