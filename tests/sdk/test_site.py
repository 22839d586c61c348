import httpx2

from tests.emulator.driver import NO_CERTIFICATES
from tests.sdk.site import ALICE, Site
from tests.waiting import LONG_ENOUGH


def test_a_site_answers_and_keeps_its_history_when_it_is_restarted(site: Site) -> None:
    credentials = {"Authorization": f"Bearer {ALICE}"}
    with httpx2.Client(
        base_url=site.origin,
        headers=credentials,
        verify=NO_CERTIFICATES,
        timeout=LONG_ENOUGH,
    ) as client:
        client.post("/prompt/", json={"prompt": "one two"}).raise_for_status()

        site.restart()

        assert client.get("/history/").json()["history"][0]["response"] == "one two"
