"""The client's tests run on both event loops that it is used on."""

from pathlib import Path
from typing import Any

import pytest

from tests.certificates import make_certificate


@pytest.fixture(scope="session", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ["DNS:localhost", "IP:127.0.0.1", "DNS:server.example"]
    return make_certificate(tmp_path_factory.mktemp("tls"), *names)
