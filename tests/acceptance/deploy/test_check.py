"""`llamakeep check` beside a running server, and through real proxies."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from llamakeep.check.proxy import check_proxy
from tests.acceptance.conftest import NewServer
from tests.debian import AROUND_NGINX, debian_program
from tests.waiting import LONG_ENOUGH, until

ROOT = Path(__file__).parents[3]
GOOD = """
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Prefix /llm;
"""
PROXIES = {
    "good": GOOD,
    "buffering": GOOD.replace("1.1", "1.0").replace(
        "proxy_buffering off", "proxy_ignore_headers X-Accel-Buffering"
    ),
    "credulous": GOOD.replace("$remote_addr", "$http_x_forwarded_for"),
    "secure": f"{GOOD} proxy_set_header X-Forwarded-Proto https;",
    "somewhere else": GOOD.replace("/llm", "/other"),
}
LAST = "server {{ listen 127.0.0.1:{last}; location / {{ return 502; }} }}"
SERVER = """
server {{
    listen 127.0.0.1:{port};
    location /llm/ {{
        proxy_pass http://127.0.0.1:{server}/; {said}
    }}
    location / {{ return 404; }}
    location /moved/ {{ return 301 https://llm.example.com/; }}
}}
"""


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@asynccontextmanager
async def proxies(server: int, folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run nginx, and give the URLs at which it serves as badly as their names say."""
    nginx = await asyncio.to_thread(debian_program, "nginx")
    *ports, last = free_ports(len(PROXIES) + 1)
    servers = "".join(
        SERVER.format(port=port, server=server, said=said)
        for port, said in zip(ports, PROXIES.values(), strict=True)
    )
    file = folder / "nginx.conf"
    file_of_all = f"{servers}{LAST.format(last=last)}"
    written = AROUND_NGINX.format(folder=folder, file=file_of_all)
    await asyncio.to_thread(file.write_text, written)
    process = await asyncio.create_subprocess_exec(
        nginx, "-e", "stderr", "-p", str(folder), "-c", str(file)
    )

    async def answers() -> bool:
        assert process.returncode is None
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", last)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await until(answers)
        named = dict(zip(PROXIES, ports, strict=True))
        urls = {name: f"http://127.0.0.1:{port}/llm" for name, port in named.items()}
        yield urls | {
            "gone": f"http://127.0.0.1:{last}",
            "moved": f"http://127.0.0.1:{ports[0]}/moved",
            "not passed on": f"http://127.0.0.1:{ports[0]}/nothing",
        }
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_what_a_proxy_does_wrong_is_found(
    new_server: NewServer, tmp_path: Path
) -> None:
    server = new_server(settings={"trusted_proxies": ["127.0.0.1"]})
    await server.start()
    port = int(server.client.base_url.port or 0)
    async with proxies(port, tmp_path) as urls:
        results = await asyncio.gather(*(check_proxy(url) for url in urls.values()))
    found = {
        name: [each for each in result if each.level != "ok"]
        for name, result in zip(urls, results, strict=True)
    }

    assert found.pop("good") == []
    wrong = {name: (one.message, one.fix) for name, [one] in found.items()}
    assert "holds streams back" in wrong["buffering"][0]
    assert "proxy_buffering off" in wrong["buffering"][1]
    assert "X-Forwarded-For that clients send" in wrong["credulous"][0]
    assert "$remote_addr" in wrong["credulous"][1]
    assert "reached by https" in wrong["secure"][0]
    assert "X-Forwarded-Proto" in wrong["secure"][1]
    assert "its path is /other" in wrong["somewhere else"][0]
    assert "LLAMAKEEP_PUBLIC_URL" in wrong["somewhere else"][1]
    assert "answers 502" in wrong["gone"][0]
    assert "Start llamakeep" in wrong["gone"][1]
    assert "redirects to https://llm.example.com/" in wrong["moved"][0]
    assert "answers 404" in wrong["not passed on"][0]


async def test_a_check_beside_a_server_is_green_and_does_not_disturb_it(
    new_server: NewServer, tmp_path: Path
) -> None:
    server = new_server()
    await server.start()
    await asyncio.to_thread(tmp_path.chmod, 0o700)
    variables = {
        "LLAMAKEEP_DATABASE_URL": f"sqlite:///{tmp_path / 'acceptance.db'}",
        "LLAMAKEEP_LOCAL_MODEL": "none",
        "LLAMAKEEP_PORT": str(server.client.base_url.port),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llamakeep", "check"),
        env=os.environ | variables | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LONG_ENOUGH):
        printed, complained = await process.communicate()

    lines = printed.decode().splitlines()
    assert process.returncode == 1, complained  # there is no model
    assert [line for line in lines if not line.startswith("ok")] == [
        line for line in lines if line.startswith("failed   model")
    ]
    assert any("llamakeep answers on" in line for line in lines)
    assert (await server.client.get("/readyz")).status_code == 200
