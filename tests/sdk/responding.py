"""Looking at responses, for tests with OpenAI's own Python client."""

import time
from typing import Any

import httpx2
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent

from tests.emulator.driver import MAVERICK, NO_CERTIFICATES
from tests.sdk.site import ALICE, Site
from tests.waiting import LONG_ENOUGH

MODEL = f"replicate:{MAVERICK}"
OPEN = {"queued", "in_progress"}
"""The statuses of a response that is not over."""


def own_api(site: Site, method: str, path: str, **options: Any) -> Any:
    """Ask llamakeep's own API, as alice."""
    headers = {"Authorization": f"Bearer {ALICE}"}
    with httpx2.Client(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH) as http:
        answer = http.request(method, site.origin + path, headers=headers, **options)
        return answer.raise_for_status().json()


def run_of(site: Site, response: Response) -> Any:
    return own_api(site, "GET", f"/history/{response.id.replace('resp_', 'run_')}")


def over(client: OpenAI, response: Response) -> Response:
    """Poll until a response is over, as OpenAI's guide says."""
    deadline = time.monotonic() + LONG_ENOUGH
    while response.status in OPEN:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        response = client.responses.retrieve(response.id)
    return response


def text_of(events: list[ResponseStreamEvent]) -> str:
    return "".join(
        event.delta for event in events if event.type == "response.output_text.delta"
    )


def number_of(event: ResponseStreamEvent) -> int:
    assert event.sequence_number is not None
    return event.sequence_number


def asked(site: Site, prompt: str) -> str:
    """Wait until alice's newest run has this prompt, and return its response's id."""
    deadline = time.monotonic() + LONG_ENOUGH
    while True:
        [run] = own_api(site, "GET", "/history/?limit=1")["history"]
        if run["prompt"] == prompt:
            return str(run["id"].replace("run_", "resp_"))
        assert time.monotonic() < deadline
        time.sleep(0.02)
