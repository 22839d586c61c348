"""Logging in as who has signed in at a proxy in front."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from llamakeep.settings import Settings
from tests.api.accounts.logins import cookie_of, enrol
from tests.api.serving import connect

PROXY = "10.1.0.7"
DORA = {"Remote-User": "dora"}
PATH = "/login/proxy/"


def behind(settings: Settings, header: str | None = "Remote-User") -> Settings:
    trusted = (ip_network("10.1.0.0/16"),)
    return settings.model_copy(
        update={"trusted_proxies": trusted, "proxy_user_header": header}
    )


async def test_whom_a_trusted_proxy_has_signed_in_logs_in(real: Settings) -> None:
    async with connect(behind(real), address=PROXY) as client:
        await enrol(client)
        about = await client.get("/about/", headers=DORA)
        login = await client.get(PATH, headers=DORA)
        me = await client.get("/me/", headers=cookie_of(login))
        client.cookies.clear()
        again = await client.get(PATH, headers=DORA)
        same = await client.get("/me/", headers=cookie_of(again))

    assert about.json()["sign_in"] == {"name": "dora", "path": "login/proxy/"}
    assert (login.status_code, login.headers["location"]) == (303, "/")
    assert me.json()["username"] == "dora"
    assert me.json()["id"] == same.json()["id"]


async def test_a_header_from_another_address_is_nothing(real: Settings) -> None:
    async with connect(behind(real), address="203.0.113.5") as client:
        await enrol(client)
        through = DORA | {"X-Forwarded-For": PROXY}
        login = await client.get(PATH, headers=through)
        about = await client.get("/about/", headers=through)

    assert login.status_code == 404
    assert "set-cookie" not in login.headers
    assert about.json()["sign_in"] is None


async def test_without_the_setting_a_header_is_nothing(real: Settings) -> None:
    async with connect(behind(real, None), address=PROXY) as client:
        await enrol(client)

        assert (await client.get(PATH, headers=DORA)).status_code == 404


async def test_the_header_alone_lets_nobody_in(real: Settings) -> None:
    async with connect(behind(real), address=PROXY) as client:
        await enrol(client)

        assert (await client.get("/me/", headers=DORA)).status_code == 401


async def test_a_proxys_name_never_leads_into_an_account_that_is_here(
    real: Settings,
) -> None:
    async with connect(behind(real), address=PROXY) as client:
        await enrol(client)
        login = await client.get(PATH, headers={"Remote-User": "Carol"})
        me = await client.get("/me/", headers=cookie_of(login))

    assert me.json()["username"] == "Carol-2"


@pytest.mark.parametrize(
    "headers",
    [
        [("Remote-User", "dora"), ("Remote-User", "carol")],
        [("Remote-User", "x" * 256)],
        [("Remote-User", b"do\xffra")],
    ],
)
async def test_a_header_that_names_nobody_is_refused(
    real: Settings, headers: list[tuple[str, str | bytes]]
) -> None:
    raw = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers
    ]
    async with connect(behind(real), address=PROXY) as client:
        response = await client.get(PATH, headers=raw)

    assert response.status_code == 400
    assert response.json()["type"] == "urn:llamakeep:problem:unusable-header"


def test_a_header_without_a_trusted_proxy_is_no_setting() -> None:
    with pytest.raises(ValidationError, match="LLAMAKEEP_TRUSTED_PROXIES"):
        Settings(proxy_user_header="Remote-User")
