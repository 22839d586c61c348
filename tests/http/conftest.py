"""The client's tests run on both event loops that it is used on."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from llamakeep.http import tls
from tests.certificates import context_of, make_certificate


@pytest.fixture(scope="session", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server needs to show a certificate that the client trusts."""
    trusting = await asyncio.to_thread(
        ssl.create_default_context, cafile=str(certificate)
    )
    monkeypatch.setattr(tls, "_known", trusting)
    return await asyncio.to_thread(context_of, certificate)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ["DNS:localhost", "IP:127.0.0.1", "DNS:server.example"]
    return make_certificate(tmp_path_factory.mktemp("tls"), *names)
