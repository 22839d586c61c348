"""`docs/webhooks.md`, as its reader types it."""

import asyncio
import json
import re
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.conftest import NewServer

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return said.decode()


def blocks(origin: str, port: int) -> Sequence[str]:
    """Return what the page tells to run, but for what starts the server."""
    text = PAGE.read_text().replace("http://localhost:8000", origin)
    text = text.replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    text = text.replace('"127.0.0.1", 9000', f'"127.0.0.1", {port}')
    return [block for _, block in BLOCK.findall(text)][1:]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl here.")
async def test_the_page_leads_to_a_webhook_that_is_checked_and_printed(
    new_server: NewServer,
) -> None:
    told = {"webhooks": True, "webhook_networks": ["127.0.0.0/8"]}
    server = new_server(settings=told)
    await server.start()
    page = await asyncio.to_thread(
        blocks, str(server.client.base_url).rstrip("/"), free_port()
    )
    get_secret, program, ask = page
    secret = json.loads(await output("bash", "-euc", get_secret))["secret"]
    receiver = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env={"WEBHOOK_SECRET": secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        prompt = f"{get_secret.splitlines()[0]}\n{ask}"
        run_id = json.loads(await output("bash", "-euc", prompt))["id"]
        assert receiver.stdout is not None
        printed = await asyncio.wait_for(receiver.stdout.readline(), 30)
    finally:
        receiver.terminate()
        await receiver.wait()

    run = await server.run(run_id)
    assert printed.decode() == f"run.succeeded {run['response']}\n"
