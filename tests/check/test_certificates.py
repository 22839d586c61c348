"""What a check says of a proxy's certificate, and of its address."""

import asyncio
import ssl
from pathlib import Path

import pytest

from llamakeep.check.finding import Finding
from llamakeep.check.proxy import check_proxy
from llamakeep.http import tls
from tests.certificates import context_of, make_certificate, make_expired


async def finding(
    certificate: Path, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> Finding:
    monkeypatch.setattr(tls, "_known", trusting)
    context = await asyncio.to_thread(context_of, certificate)
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        [found] = await check_proxy(f"https://127.0.0.1:{port}")
    return found


@pytest.mark.slow
def test_an_expired_certificate_is_to_be_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "IP:127.0.0.1")
    make_expired(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))

    found = asyncio.run(finding(certificate, trusting, monkeypatch))

    assert found.level == "failed"
    assert found.message.endswith("is not trusted: certificate has expired.")
    assert found.fix.startswith("Renew it, and reload the proxy")


@pytest.mark.slow
def test_a_certificate_of_another_name_or_an_unknown_authority_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "IP:127.0.0.2")
    trusting = ssl.create_default_context(cafile=str(certificate))

    another = asyncio.run(finding(certificate, trusting, monkeypatch))
    unknown = asyncio.run(
        finding(certificate, ssl.create_default_context(), monkeypatch)
    )

    assert another.message.endswith("certificate is not valid for '127.0.0.1'.")
    assert another.fix.startswith("Give the proxy a certificate for this name")
    assert "update-ca-certificates" in unknown.fix


async def test_an_address_without_https_is_no_address() -> None:
    [found] = await check_proxy("llm.example.com")

    assert found.level == "failed"
    assert found.fix == "Begin it with https://, as in https://llm.example.com."
