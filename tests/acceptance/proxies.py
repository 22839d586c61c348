"""The proxies of `deploy/proxies`, in front of servers on this machine."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.certificates import make_certificate
from tests.debian import AROUND_NGINX, debian_program
from tests.waiting import LONG_ENOUGH

ROOT = Path(__file__).parents[2]
FILES = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg"}
COMMANDS = {
    "nginx": ["-e", "stderr", "-p", "{folder}", "-c"],
    "caddy": ["run", "--adapter", "caddyfile", "--config"],
    "haproxy": ["-db", "-f"],
}
CADDYS_OPTIONS = """{
    admin off
    auto_https off
    default_sni 127.0.0.1
}
"""
TLS = """ {
    bind 127.0.0.1
    tls {certificate} {certificate}
"""


def configuration(
    program: str, port: int, servers: Sequence[int], folder: Path, prefix: str
) -> str:
    """
    Return the configuration in `deploy/proxies` for this machine.

    Args:
        program: The proxy's name.
        port: The port for TLS.
        servers: The ports of the servers.
        folder: Where the proxy may write.
        prefix: What the documentation adds for a path of its own.
    """
    file = (ROOT / "deploy" / "proxies" / FILES[program]).read_text()
    certificate = make_certificate(folder, "IP:127.0.0.1")
    if program == "nginx":
        file = file.replace("listen 443", f"{prefix}\n    listen 127.0.0.1:{port}")
        file = re.sub(r"(ssl_certificate\w*) .*;", rf"\1 {certificate};", file)
        file = re.sub(r"server \{\s+listen 80;.*?\n\}", "", file, flags=re.DOTALL)
        file = re.sub(r"server 127.*;", listed("server 127.0.0.1:{};", servers), file)
        return AROUND_NGINX.format(folder=folder, file=file)
    if program == "caddy":
        site = f"https://127.0.0.1:{port}"
        own = TLS.replace("{certificate}", str(certificate)) + prefix
        file = file.replace("\nllm.example.com {", f"\n{site}{own}")
        return CADDYS_OPTIONS + file.replace(
            "127.0.0.1:8000", listed("127.0.0.1:{}", servers)
        )
    file = file.replace("bind :443", f"bind 127.0.0.1:{port}").replace("bind :80", "")
    file = file.replace("maxconn 4000", "maxconn 200")  # few files may be open here
    file = re.sub(r"crt \S+", f"crt {certificate}", file)
    return re.sub(
        r"    server one.*",
        lambda _: prefix + listed("    server s{0} 127.0.0.1:{0}\n", servers),
        file,
    )


def listed(template: str, ports: Sequence[int]) -> str:
    return " ".join(template.format(port) for port in ports)


@asynccontextmanager
async def in_front(
    program: str, servers: Sequence[int], folder: Path, *, prefix: str = ""
) -> AsyncIterator[int]:
    """Run a proxy in front of the servers at these ports, and give its port."""
    path = await asyncio.to_thread(debian_program, program)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        own = int(probe.getsockname()[1])
    written = await asyncio.to_thread(
        configuration, program, own, servers, folder, prefix
    )
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
