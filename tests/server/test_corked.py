"""A head is sent with what follows it in one turn of the event loop."""

import asyncio

import pytest

from llamakeep.server.corked import MOST_HELD, Corked

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Wire(asyncio.Transport):
    """Remembers what was sent, and how it was left."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.left: str | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.left is not None

    def close(self) -> None:
        self.left = "closed"

    def abort(self) -> None:
        self.left = "aborted"


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def corked(wire: Wire) -> Corked:
    return Corked(wire, asyncio.get_running_loop())


async def test_a_head_and_its_body_are_one_piece(corked: Corked, wire: Wire) -> None:
    corked.write(HEAD)
    corked.write(b"body")
    before = list(wire.sent)

    await asyncio.sleep(0)

    assert (before, wire.sent) == ([], [HEAD + b"body"])


async def test_what_comes_in_later_turns_is_sent_at_once(
    corked: Corked, wire: Wire
) -> None:
    corked.write(HEAD)
    await asyncio.sleep(0)
    corked.write(b"one")
    corked.write(b"two")

    assert wire.sent == [HEAD, b"one", b"two"]


async def test_much_is_sent_without_waiting(corked: Corked, wire: Wire) -> None:
    corked.write(HEAD)
    corked.write(b"x" * MOST_HELD)

    assert [len(piece) for piece in wire.sent] == [MOST_HELD + len(HEAD)]


async def test_closing_sends_what_is_held(corked: Corked, wire: Wire) -> None:
    corked.write(HEAD)
    corked.close()
    await asyncio.sleep(0)

    assert (wire.sent, wire.left) == ([HEAD], "closed")


async def test_hanging_up_at_once_sends_nothing_more(
    corked: Corked, wire: Wire
) -> None:
    corked.write(HEAD)
    corked.abort()
    await asyncio.sleep(0)

    assert (wire.sent, wire.left) == ([], "aborted")


async def test_nothing_is_sent_to_whoever_has_hung_up(
    corked: Corked, wire: Wire
) -> None:
    corked.write(HEAD)
    wire.close()
    await asyncio.sleep(0)
    corked.write(b"anybody there?")

    assert wire.sent == []
