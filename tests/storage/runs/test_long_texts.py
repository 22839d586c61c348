"""Texts that are read a piece at a time."""

import pytest

from llamakeep.domain import User
from llamakeep.errors import RunNotFound
from llamakeep.storage import Storage
from llamakeep.storage.runs.long_texts import PIECE

# A piece of so many bytes ends within a character here, and within another one later.
MIXED = "x" + "日本語 ü 😀\n" * (PIECE // 8)


@pytest.mark.parametrize("text", ["", "short", "y" * PIECE, "y" * 2 * PIECE, MIXED])
async def test_the_pieces_of_a_text_are_all_of_it(
    storage: Storage, alice: User, text: str
) -> None:
    run = await storage.add(alice, "Long?", text)

    pieces = [piece async for piece in storage.text_pieces(run)]

    assert "".join(pieces) == text
    assert all(0 < len(piece) <= PIECE for piece in pieces)


@pytest.mark.parametrize("offset", [0, 1, 2, 7777, PIECE // 2, PIECE])
async def test_a_text_is_read_from_any_character_on(
    storage: Storage, alice: User, offset: int
) -> None:
    run = await storage.add(alice, "Long?", MIXED)

    place = await storage.place_in_text(run, offset)
    pieces = [piece async for piece in storage.text_pieces(run, place)]

    assert place.offset == offset
    assert "".join(pieces) == MIXED[offset:]


async def test_there_is_nothing_behind_the_end_of_a_text(
    storage: Storage, alice: User
) -> None:
    run = await storage.add(alice, "Long?", MIXED)

    place = await storage.place_in_text(run, len(MIXED) + 5)

    assert (place.offset, place.is_end) == (len(MIXED), True)


async def test_another_users_text_is_not_read(
    storage: Storage, alice: User, bob: User
) -> None:
    run = await storage.add(alice, "Mine?", "Yes.")

    with pytest.raises(RunNotFound):
        await storage.outline(bob, run.id)


async def test_a_text_that_is_deleted_meanwhile_is_not_found(
    storage: Storage, alice: User
) -> None:
    run = await storage.add(alice, "Long?", MIXED)
    pieces = aiter(storage.text_pieces(run))
    await anext(pieces)
    await storage.delete_run(alice, run.id)

    with pytest.raises(RunNotFound):
        await anext(pieces)


async def test_an_outline_has_all_but_the_texts(storage: Storage, alice: User) -> None:
    run = await storage.add(alice, "Long?", MIXED)

    outline = await storage.outline(alice, run.id)

    assert (outline.prompt, outline.response, outline.prior_messages) == ("", "", ())
    assert (outline.id, outline.status, outline.created_at) == (
        run.id,
        run.status,
        run.created_at,
    )
