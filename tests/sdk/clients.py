"""Alice's clients of a server, and what its history says of her runs."""

from typing import Any

import httpx2
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from tests.emulator.driver import NO_CERTIFICATES
from tests.sdk.site import ALICE, Process
from tests.waiting import LONG_ENOUGH


def openai_of(site: Process) -> OpenAI:
    """Return a client that does not send anything twice."""
    return OpenAI(
        base_url=f"{site.origin}/v1",
        api_key=ALICE,
        http_client=httpx2.Client(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH),
        max_retries=0,
    )


def async_openai_of(site: Process) -> AsyncOpenAI:
    """Return an asynchronous client that does not send anything twice."""
    return AsyncOpenAI(
        base_url=f"{site.origin}/v1",
        api_key=ALICE,
        http_client=httpx2.AsyncClient(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH),
        max_retries=0,
    )


def anthropic_of(site: Process) -> Anthropic:
    """Return a client that does not send anything twice."""
    return Anthropic(
        base_url=site.origin,
        api_key=ALICE,
        http_client=httpx2.Client(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH),
        max_retries=0,
    )


def async_anthropic_of(site: Process) -> AsyncAnthropic:
    """Return an asynchronous client that does not send anything twice."""
    return AsyncAnthropic(
        base_url=site.origin,
        api_key=ALICE,
        http_client=httpx2.AsyncClient(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH),
        max_retries=0,
    )


def history(site: Process, limit: int = 1) -> list[dict[str, Any]]:
    """Return the newest runs, the newest first."""
    with httpx2.Client(verify=NO_CERTIFICATES, timeout=LONG_ENOUGH) as http:
        answer = http.get(
            f"{site.origin}/history/",
            params={"limit": limit},
            headers={"Authorization": f"Bearer {ALICE}"},
        )
        found: list[dict[str, Any]] = answer.raise_for_status().json()["history"]
        return found
