"""Images of runs that another process left: their bytes are read again."""

from dataclasses import replace

import pytest

from llamakeep.domain import Image, NewRun, RunStatus, Text, User
from llamakeep.domain.messages import message_of
from llamakeep.settings import Settings
from llamakeep.storage import Storage
from tests.engine.engine import open_engine
from tests.fakes import ScriptedProvider
from tests.faulty_storage import FaultyStorage
from tests.images import hash_of, image, png, shown
from tests.storage.running import NODE, new_run

PNG = png()
SHOWN = message_of("user", [Text("What is this?"), image(PNG)])
KEPT = message_of("user", [Text("What is this?"), shown(PNG)])


async def given(provider: ScriptedProvider) -> bytes:
    """Return the bytes of the image that the model is given."""
    [request] = provider.requests
    [*_, last] = request.messages
    [*_, part] = last.parts
    assert isinstance(part, Image)
    assert part.data is None
    assert request.read_images is not None
    return (await request.read_images([hash_of(PNG)]))[hash_of(PNG)]


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.STARTING])
async def test_a_run_that_was_left_is_answered_with_its_image(
    settings: Settings, storage: Storage, alice: User, status: RunStatus
) -> None:
    attempt = 0 if status is RunStatus.QUEUED else 1
    run = replace(
        new_run(alice, KEPT.content, status=status, attempt=attempt),
        last_message=KEPT,
        images=[image(PNG)],
    )
    await storage.accept(run, node=NODE)
    provider = ScriptedProvider(is_free=True)

    async with open_engine(settings, storage, provider) as engine:
        ended = await engine.result(run)
        shown = await given(provider)

    assert ended.status is RunStatus.SUCCEEDED
    assert ended.last_message == KEPT
    assert shown == PNG


async def test_an_image_that_cannot_be_read_for_a_moment_ends_no_run(
    settings: Settings, storage: Storage, alice: User
) -> None:
    faulty = FaultyStorage(storage, fails={"image_data": 1})
    provider = ScriptedProvider()
    asked = NewRun(prompt=SHOWN.content, last_message=SHOWN)

    async with open_engine(settings, faulty, provider) as engine:
        ended = await engine.answer(alice, asked)
        shown = await given(provider)

    assert ended.images == ()
    assert shown == PNG
