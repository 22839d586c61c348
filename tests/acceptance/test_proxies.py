"""The proxies of docs/security.md, as they are written there, in front of a server."""

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import NewServer
from tests.debian import debian_program
from tests.waiting import LONG_ENOUGH

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"
ALICE = {"Authorization": "Bearer token_alice"}
LOGIN = {"username": "alice", "password": "secret1"}
CREATE = "/replicate/v1/models/talker/parrot/predictions"
RATE = 20

CONFIGURATIONS = {
    "nginx": """
        daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
            scgi_temp_path {folder}/s;
            server {{ listen 127.0.0.1:{port}; {snippet} }}
        }}""",
    "caddy": """{{
    admin off
    auto_https off
}}
http://:{port} {{
bind 127.0.0.1
{snippet}
}}
""",
    "haproxy": """defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend all
    bind 127.0.0.1:{port}
    default_backend llamakeep
{snippet}
""",
}
COMMANDS = {
    "nginx": ["-e", "stderr", "-p", "{folder}", "-c"],
    "caddy": ["run", "--adapter", "caddyfile", "--config"],
    "haproxy": ["-db", "-f"],
}


def snippet(program: str) -> str:
    found = re.search(rf"```{program}\n(.*?)```", SECURITY.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@asynccontextmanager
async def in_front(program: str, port: int, folder: Path) -> AsyncIterator[int]:
    """Run a proxy in front of the server at `port`, and give its port."""
    path = await asyncio.to_thread(debian_program, program)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        own = int(probe.getsockname()[1])
    ours = (await asyncio.to_thread(snippet, program)).replace(":8000", f":{port}")
    written = CONFIGURATIONS[program].format(port=own, folder=folder, snippet=ours)
    file = folder / f"{program}.conf"
    await asyncio.to_thread(file.write_text, written)
    process = await asyncio.create_subprocess_exec(
        path,
        *(each.format(folder=folder) for each in COMMANDS[program]),
        str(file),
        env=os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
    )
    try:
        async with asyncio.timeout(LONG_ENOUGH):
            while not await _answers(own):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield own
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def client(port: int, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that comes from an address of its own."""
    transport = httpx2.AsyncHTTPTransport(local_address=address, verify=False)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url=f"http://127.0.0.1:{port}/llm",
        headers=ALICE,
        timeout=LONG_ENOUGH,
    ) as found:
        yield found


@pytest.mark.parametrize("program", [*CONFIGURATIONS])
async def test_a_proxy_as_documented_tells_clients_apart_and_keeps_its_path(
    new_server: NewServer, tmp_path: Path, program: str
) -> None:
    await asyncio.to_thread(debian_program, program)
    server = new_server(
        settings={
            "trusted_proxies": ["127.0.0.1"],
            "address_rate_limit": f"{RATE}/hour",
        }
    )
    await server.start()
    url = server.client.base_url
    async with in_front(program, int(url.port or 0), tmp_path) as port:
        async with client(port, "127.0.0.9") as liar:
            statuses = [
                (
                    await liar.get(
                        "/me/",
                        headers={
                            "X-Forwarded-For": f"6.6.6.{n}",
                            "X-Forwarded-Prefix": "//evil.example",
                            "X-Forwarded-Proto": "gopher",
                        },
                    )
                ).status_code
                for n in range(RATE + 1)
            ]
        async with client(port, "127.0.0.8") as other:
            body = {"prompt": "Hi", "background": True}
            begun = await other.post("/prompt/", json=body)
            created = await other.post(CREATE, json={"input": {"prompt": "Hi"}})
            document = await other.get("/openapi.json")
            streamed = await other.get(created.json()["urls"]["stream"])
            page = await other.get("/", headers={"Accept": "text/html"})
            found = re.search(r'src="(page/[^"]+/theme\.js)"', page.text)
            file = await other.get(f"/{found[1] if found else ''}")
            own = {"Origin": f"http://127.0.0.1:{port}"}
            login = await other.post("/login/cookie/", json=LOGIN, headers=own)

    assert statuses == [200] * RATE + [429]
    assert begun.headers["location"] == f"/llm/history/{begun.json()['id']}"
    origin = f"http://127.0.0.1:{port}/llm/"
    urls = created.json()["urls"]
    assert all(url.startswith(origin) for url in urls.values()), json.dumps(urls)
    assert document.json()["servers"] == [{"url": "/llm"}]
    assert "event: done" in streamed.text
    assert '<base href="/llm/">' in page.text
    assert (file.status_code, login.status_code) == (200, 204)
