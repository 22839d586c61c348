"""The proxies of deploy/proxies in front of a server, also with a path of its own."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import NewServer
from tests.acceptance.proxies import FILES, ROOT, in_front
from tests.debian import debian_program
from tests.waiting import LONG_ENOUGH

PAGE = ROOT / "docs" / "deploy" / "reverse-proxy.md"
ALICE = {"Authorization": "Bearer token_alice"}
LOGIN = {"username": "alice", "password": "secret1"}
CREATE = "/replicate/v1/models/talker/parrot/predictions"
RATE = 20
STREAMED = {"prompt": "Hi", "stream": True}


def snippet(program: str) -> str:
    """Return what the documentation adds for a path of its own."""
    found = re.search(rf"```{program}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@asynccontextmanager
async def client(port: int, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client that comes from an address of its own."""
    transport = httpx2.AsyncHTTPTransport(local_address=address, verify=False)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url=f"https://127.0.0.1:{port}/llm",
        headers=ALICE,
        timeout=LONG_ENOUGH,
    ) as found:
        yield found


@pytest.mark.parametrize("program", [*FILES])
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
    prefix = (await asyncio.to_thread(snippet, program)).replace(
        ":8000", f":{url.port}"
    )
    ports = [int(url.port or 0)]
    async with in_front(program, ports, tmp_path, prefix=prefix) as port:
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
            own = {"Origin": f"https://127.0.0.1:{port}"}
            login = await other.post("/login/cookie/", json=LOGIN, headers=own)
            root = f"https://127.0.0.1:{port}/"
            whole = await other.get(f"{root}openapi.json")
            async with other.stream("POST", f"{root}prompt/", json=STREAMED) as stream:
                pieces = [piece async for piece in stream.aiter_raw()]

    assert statuses == [200] * RATE + [429]
    assert begun.headers["location"] == f"/llm/history/{begun.json()['id']}"
    origin = f"https://127.0.0.1:{port}/llm/"
    urls = created.json()["urls"]
    assert all(url.startswith(origin) for url in urls.values()), json.dumps(urls)
    assert document.json()["servers"] == [{"url": "/llm"}]
    assert "servers" not in whole.json()
    assert whole.headers["strict-transport-security"] == "max-age=31536000"
    # The words were sent one by one, and would come as one piece out of a buffer.
    assert len(pieces) > 2
    assert "event: done" in streamed.text
    assert '<base href="/llm/">' in page.text
    assert (file.status_code, login.status_code) == (200, 204)
