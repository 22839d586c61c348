"""Whom the emulator answers, and with which methods."""

import httpx2
import pytest
from fastapi.routing import APIRoute

from replicate_emulator.app import create_emulator
from replicate_emulator.settings import EmulatorSettings
from tests.emulator.driver import Driver

SITE = "https://chat.example.com"
PATHS = ["/v1/models", "/_emulator/settings", "/_emulator/predictions", "/v1/account"]


def gets() -> list[str]:
    """Return every path that has GET, with something in the place of parameters."""
    return sorted(
        {
            route.path_format.format(**dict.fromkeys(route.param_convertors, "x"))
            for route in create_emulator().router.routes
            if isinstance(route, APIRoute) and "GET" in (route.methods or ())
        }
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["rebind.example", "rebind.example:8401", "192.168.1.5", "foo.localhost"]
)
def test_no_name_of_others_is_answered(emulator: Driver, path: str, host: str) -> None:
    response = emulator.http.get(path, headers={"Host": host})

    assert response.status_code == 403
    assert host.partition(":")[0] in response.json()["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8401", "127.1.2.3", "[::1]:8401", "LOCALHOST"]
)
def test_names_of_this_computer_are_answered(emulator: Driver, host: str) -> None:
    response = emulator.http.get("/_emulator/settings", headers={"Host": host})

    assert response.status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "file://"])
def test_pages_of_other_sites_send_nothing(emulator: Driver, origin: str) -> None:
    emulator.create("keep me")
    simple = {"Origin": origin, "Content-Type": "text/plain"}

    reset = emulator.http.post("/_emulator/reset", headers=simple)
    created = emulator.post("from a page", headers={"Origin": origin})

    assert reset.status_code == created.status_code == 403
    assert emulator.known()["count"] == 1


def test_the_host_of_the_public_url_is_answered(emulator: Driver) -> None:
    emulator.set(public_url="https://emulator.example/replicate")

    response = emulator.http.get("/v1/models", headers={"Host": "emulator.example"})

    assert response.status_code == 200


async def test_pages_that_are_named_may_send() -> None:
    app = create_emulator(EmulatorSettings(), origins=[SITE])
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"Origin": SITE}
    ) as client:
        response = await client.post("/_emulator/reset")

    assert response.status_code == 204


@pytest.mark.parametrize("path", gets())
def test_head_and_options_are_answered_wherever_get_is(
    emulator: Driver, path: str
) -> None:
    get = emulator.http.get(path)
    head = emulator.http.head(path)
    options = emulator.http.options(path)

    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers.get("content-type") == get.headers.get("content-type")
    # The time that an emulator tells grows by a digit at times.
    lengths = [int(one.headers.get("content-length", 0)) for one in (head, get)]
    assert lengths[0] == pytest.approx(lengths[1], abs=3)
    assert options.status_code == 204
    assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["allow"].split(", "))
