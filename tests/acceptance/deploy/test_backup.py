"""A database that is lost with its server, and the backup that takes its place."""

import asyncio
from pathlib import Path

from llamakeep.storage.backup import back_up, restore
from tests.acceptance.conftest import NewServer
from tests.acceptance.providers.test_replicate import emulator
from tests.waiting import until

WORDS = [f"word{number} " for number in range(20)]


async def test_a_restored_backup_continues_what_was_under_way_and_asks_nothing_twice(
    new_server: NewServer, tmp_path: Path
) -> None:
    async with emulator() as replicate:
        await replicate.rule(deltas=WORDS, gap=0.03, times=None)
        settings = {
            "replicate_api_token": "r8_emulated",
            "replicate_base_url": replicate.url,
            "settle_time": 0.3,
            "max_running": 2,
        }
        server = new_server(is_real=True, settings=settings)
        url, file = server.order.settings["database_url"], tmp_path / "backup"
        await server.start()
        ids = []
        for number in range(3):
            body = {"prompt": f"Prompt {number}", "background": True}
            answer = await server.client.post("/prompt/", json=body)
            ids.append(answer.json()["id"])
        await back_up(url, file)

        async def are_all_begun() -> bool:
            return len(await replicate.predictions()) == 3

        # The third one has waited, and is asked for after the backup.
        await until(are_all_begun)
        await server.stop()
        await asyncio.to_thread(Path(url.removeprefix("sqlite:///")).unlink)

        await restore(file, url, is_replaced=False)
        await server.start()
        ended = [await server.ended_run(run_id) for run_id in ids]

        assert {run["status"] for run in ended} == {"succeeded"}
        assert {run["response"] for run in ended} == {"".join(WORDS)}
        assert len(await replicate.predictions()) == 3
