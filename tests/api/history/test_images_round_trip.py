"""An exported history with images comes back as it was."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ByteSize

from llamakeep.api.history.export import _Source, _texts
from llamakeep.domain import Image, Message, RunStatus, Text, User, utc_now
from llamakeep.domain.messages import images_in, message_of
from llamakeep.history.importing import Import
from llamakeep.storage import Storage, open_storage
from llamakeep.storage.history.filters import EVERYTHING
from tests.images import JPEG, WEBP, image, png
from tests.storage.running import new_run

LARGE = png() + bytes(range(256)) * 300
"""Exported in several pieces."""
KEPT = [
    image(LARGE),
    image(png(of=1), detail="low"),
    image(JPEG, "image/jpeg"),
    image(WEBP, "image/webp"),
]
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
parts = st.lists(
    st.builds(Text, texts)
    | st.sampled_from(KEPT)
    | st.just(Image(url="https://example.com/cat.png", detail="auto")),
    min_size=1,
    max_size=4,
)
said = st.builds(message_of, st.just("user"), parts)
asked = st.lists(st.tuples(st.lists(said, max_size=2), said), min_size=1, max_size=4)


async def export(storage: Storage, user: User) -> bytes:
    source = _Source(storage, user, EVERYTHING)
    first = await source.some(after=None)
    return b"".join([piece async for piece in _texts(source, first, "ndjson")])


async def cut(exported: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(exported), size):
        yield exported[start : start + size]


def without_data(message: Message) -> Message:
    kept = [
        replace(part, data=None) if isinstance(part, Image) else part
        for part in message.parts
    ]
    return replace(message, parts=tuple(kept))


async def round_trip(files: Sequence[Path], histories: Any, size: int) -> None:
    one, other = (f"sqlite:///{file}" for file in files)
    async with open_storage(one) as storage:
        alice = await storage.add_user("alice", None)
        runs = []
        for prior, last in histories:
            shown = {each.sha256: each for each in images_in([*prior, last])}
            run = new_run(
                alice,
                last.content,
                prior_messages=tuple(map(without_data, prior)),
                last_message=without_data(last) if last.parts else None,
                images=[each for each in shown.values() if each.sha256],
                status=RunStatus.SUCCEEDED,
                finished_at=utc_now(),
            )
            runs.append(run)
        await storage.import_runs(alice, runs)
        before = await export(storage, alice)
        kept = await storage.image_data(
            alice.id, [each.sha256 for each in KEPT if each.sha256]
        )
    async with open_storage(other) as storage:
        carol = await storage.add_user("carol", None)
        limit = ByteSize(10**6)
        importing = Import(storage, carol, max_said=limit, max_images=limit)
        await importing.read(cut(before, size))
        after = await export(storage, carol)
        found = await storage.image_data(carol.id, list(kept))

    assert importing.imported == len(runs)
    assert after == before
    assert found == kept
    assert before.count(b'"data":"') == len(kept)


@pytest.mark.slow
@hypothesis_settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(histories=asked, size=st.integers(1000, 200_000))
def test_what_is_exported_is_imported_and_exported_as_it_was(
    migrated_file: Path, tmp_path: Path, histories: Any, size: int
) -> None:
    files = [tmp_path / "one.db", tmp_path / "other.db"]
    for file in files:
        shutil.copy(migrated_file, file)

    asyncio.run(round_trip(files, histories, size))
