"""What is written in one turn of the event loop is sent in one piece."""

import asyncio

import pytest

from llamakeep.server.corked import MOST_HELD, Corked


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
    corked.write(b"head ")
    corked.write(b"body")
    before = list(wire.sent)

    await asyncio.sleep(0)

    assert (before, wire.sent) == ([], [b"head body"])


async def test_what_comes_in_the_next_turn_is_a_piece_of_its_own(
    corked: Corked, wire: Wire
) -> None:
    for event in (b"one", b"two"):
        corked.write(event)
        await asyncio.sleep(0)

    assert wire.sent == [b"one", b"two"]


async def test_much_is_sent_without_waiting(corked: Corked, wire: Wire) -> None:
    corked.write(b"head ")
    corked.write(b"x" * MOST_HELD)

    assert [len(piece) for piece in wire.sent] == [MOST_HELD + 5]


async def test_closing_sends_what_is_held(corked: Corked, wire: Wire) -> None:
    corked.write(b"bye")
    corked.close()
    await asyncio.sleep(0)

    assert (wire.sent, wire.left) == ([b"bye"], "closed")


async def test_hanging_up_at_once_sends_nothing_more(
    corked: Corked, wire: Wire
) -> None:
    corked.write(b"bye")
    corked.abort()
    await asyncio.sleep(0)

    assert (wire.sent, wire.left) == ([], "aborted")


async def test_nothing_is_sent_to_whoever_has_hung_up(
    corked: Corked, wire: Wire
) -> None:
    corked.write(b"anybody there?")
    wire.close()
    await asyncio.sleep(0)

    assert wire.sent == []
