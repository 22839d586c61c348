"""nginx in front of a server: with TLS, and under a path of its own."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.certificates import make_certificate
from tests.debian import AROUND_NGINX, debian_program
from tests.page.site import LAN, Site, eventually

_SERVER = """\
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {certificate};
    location /llamas/ {{
        proxy_pass http://127.0.0.1:{behind}/;
        proxy_http_version 1.1;
        proxy_buffering off;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Prefix /llamas;
    }}
}}
"""


@contextmanager
def in_front(site: Site, folder: Path) -> Iterator[str]:
    """Run nginx, and give the address of the page behind it."""
    nginx = debian_program("nginx")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    certificate = make_certificate(folder, f"DNS:{LAN}")
    file = folder / "nginx.conf"
    server = _SERVER.format(port=port, certificate=certificate, behind=site.port)
    file.write_text(AROUND_NGINX.format(folder=folder, file=server))
    command = [nginx, "-e", "stderr", "-p", str(folder), "-c", str(file)]
    with subprocess.Popen(command) as process:
        try:
            eventually(lambda: _answers(process, port))
            yield f"https://{LAN}:{port}/llamas/"
        finally:
            process.terminate()


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
