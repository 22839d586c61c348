"""Replicate's own client for Python, unchanged, against llamakeep."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.prediction import Prediction
from replicate.webhook import Webhooks

from tests.emulator.driver import MAVERICK, NO_CERTIFICATES
from tests.emulator.receiver import open_receiver
from tests.sdk.site import ALICE, BOB, Site
from tests.waiting import LONG_ENOUGH

INPUT = {"prompt": "one two three"}
ROOT = Path(__file__).parents[2]
WORDS = ["one", " two", " three"]
PARROT = "llamakeep/parrot"


def connect(site: Site, api_token: str, **options: Any) -> Client:
    client = Client(
        api_token=api_token,
        base_url=options.pop("base_url", f"{site.origin}/replicate"),
        verify=NO_CERTIFICATES,
        **options,
    )
    client.poll_interval = 0.03
    return client


@pytest.fixture(scope="module")
def one_client(one_site: Site) -> Iterator[Client]:
    client = connect(one_site, ALICE)
    yield client
    client._client.close()


@pytest.fixture
def client(site: Site, one_client: Client) -> Client:
    """Alice's client, to a server whose model echoes."""
    del site
    return one_client


@pytest.fixture
async def async_client(site: Site) -> AsyncIterator[Client]:
    client = connect(site, ALICE)
    yield client
    await client._async_client.aclose()


@pytest.fixture
def bobs(site: Site) -> Iterator[Client]:
    client = connect(site, BOB)
    yield client
    client._client.close()


def latest(site: Site) -> Any:
    """Return the newest run of alice's history."""
    headers = {"Authorization": f"Bearer {ALICE}"}
    url = f"{site.origin}/history/?limit=1"
    response = httpx2.get(
        url, headers=headers, verify=NO_CERTIFICATES, timeout=LONG_ENOUGH
    )
    return response.json()["history"][0]


def test_run_answers_with_the_words(client: Client) -> None:
    assert client.run(MAVERICK, input=INPUT) == WORDS


def test_run_is_in_the_history(site: Site, client: Client) -> None:
    client.run(MAVERICK, input={"prompt": "keep this", "max_tokens": 7})

    kept = latest(site)
    assert (kept["prompt"], kept["response"]) == ("keep this", "keep this")
    assert kept["parameters"] == {"max_tokens": 7}


def test_run_takes_a_version_and_then_iterates(client: Client) -> None:
    model = client.models.get(MAVERICK)
    assert model.latest_version is not None

    told = client.run(f"{MAVERICK}:{model.latest_version.id}", input=INPUT)

    assert list(told) == WORDS


def test_run_takes_a_version_that_replicate_gave(site: Site, client: Client) -> None:
    theirs = site.replicate.http.get(f"/v1/models/{PARROT}").json()["latest_version"]

    told = client.run(f"{PARROT}:{theirs['id']}", input=INPUT)

    assert list(told) == WORDS


def test_run_raises_what_went_wrong(site: Site, client: Client) -> None:
    site.replicate.rule(end="failed", error="Out of luck", times=None)

    with pytest.raises(ModelError, match="Out of luck") as caught:
        client.run(MAVERICK, input=INPUT)

    assert caught.value.prediction.status == "failed"


def test_run_polls_when_the_wait_was_in_vain(site: Site, client: Client) -> None:
    site.replicate.set(first_delay=1.3)

    assert client.run(MAVERICK, input=INPUT, wait=1) == WORDS


def test_run_need_not_wait(client: Client) -> None:
    assert client.run(MAVERICK, input=INPUT, wait=False) == WORDS


def test_stream_brings_every_word(site: Site, client: Client) -> None:
    site.replicate.set(first_delay=0.1, gap=0.05)

    told = list(client.stream(MAVERICK, input=INPUT))

    assert "".join(map(str, told)) == INPUT["prompt"]
    assert len(told) > 2
    assert told[-1].event.value == "done"


def test_stream_takes_a_version(client: Client) -> None:
    model = client.models.get(MAVERICK)
    assert model.latest_version is not None

    told = client.stream(f"{MAVERICK}:{model.latest_version.id}", input=INPUT)

    assert "".join(map(str, told)) == INPUT["prompt"]


def test_stream_raises_what_went_wrong(site: Site, client: Client) -> None:
    site.replicate.rule(end="failed", error="Out of luck", after=1, times=None)

    with pytest.raises(RuntimeError, match="Out of luck"):
        list(client.stream(MAVERICK, input=INPUT))


@pytest.mark.parametrize(
    "prompt",
    ["https://example.com is it", "one\u2028two\x85three", "a\nb\n\nc", "data:"],
)
def test_stream_loses_nothing_that_the_client_stumbles_over(
    client: Client, prompt: str
) -> None:
    told = client.stream(MAVERICK, input={"prompt": prompt})

    text = "".join(map(str, told))
    assert [*text.split()] == [
        *prompt.replace("\u2028", "").replace("\x85", "").split()
    ]


def test_what_was_said_can_be_streamed_later(client: Client) -> None:
    created = client.models.predictions.create(MAVERICK, INPUT, wait=10)

    told = client.predictions.get(created.id).stream()

    assert "".join(map(str, told)) == INPUT["prompt"]


def test_create_and_wait_end_with_the_usage(client: Client) -> None:
    created = client.predictions.create(version=MAVERICK, input=INPUT)
    status = created.status

    created.wait()

    assert status == "starting"
    assert created.status == "succeeded"
    assert created.metrics is not None
    assert created.metrics["output_token_count"] == 3
    assert created.completed_at is not None


def test_create_takes_a_model_and_waits(client: Client) -> None:
    created = client.models.predictions.create(MAVERICK, INPUT, wait=10)

    assert (created.status, created.output) == ("succeeded", WORDS)
    assert created.model == MAVERICK
    assert created.input == INPUT


def test_create_takes_a_version_object(client: Client) -> None:
    newest = client.models.get(MAVERICK).versions.list().results[0]

    created = client.predictions.create(version=newest, input=INPUT, wait=10)

    assert created.output == WORDS


def test_polling_for_the_output_misses_no_word(site: Site, client: Client) -> None:
    site.replicate.set(gap=0.1)
    prompt = "one two three four five six"
    created = client.predictions.create(version=MAVERICK, input={"prompt": prompt})

    told = list(created.output_iterator())

    assert "".join(told) == prompt


def test_cancel_cancels(site: Site, client: Client) -> None:
    site.replicate.set(start_delay=60)
    created = client.predictions.create(version=MAVERICK, input=INPUT)

    created.cancel()

    created.reload()
    assert created.status == "canceled"
    assert latest(site)["status"] == "canceled"


def test_pages_lead_to_everything(client: Client) -> None:
    made = [
        client.models.predictions.create(MAVERICK, INPUT, wait=10).id for _ in range(3)
    ]

    page = client.predictions.list()

    assert [each.id for each in page][:3] == made[::-1]
    assert all(isinstance(each, Prediction) for each in page)


def test_a_cursor_leads_to_the_next_page(site: Site, client: Client) -> None:
    older, newer = [
        client.models.predictions.create(MAVERICK, INPUT, wait=10).id for _ in range(2)
    ]

    page = client.predictions.list(
        f"{site.origin}/replicate/v1/predictions?cursor=b{newer}"
    )

    assert page[0].id == older
    assert page.previous is not None
    assert client.predictions.list(page.previous)[0].id == newer


def test_models_can_be_looked_at(client: Client) -> None:
    owner, name = MAVERICK.split("/")

    model = client.models.get(owner, name)

    assert (model.owner, model.name) == (owner, name)
    assert model.latest_version is not None
    assert model.versions.get(model.latest_version.id) == model.latest_version
    assert MAVERICK in [each.id for each in client.models.list()]


def test_the_account_is_the_user(client: Client) -> None:
    account = client.accounts.current()

    assert (account.type, account.username) == ("user", "alice")


@pytest.mark.parametrize(
    "wrong",
    [{"prompt": 1}, {}, {"prompt": "Hi", "image": "x"}, {"prompt": "Hi", "top_p": 9}],
)
def test_a_refusal_is_an_error_with_its_status(
    client: Client, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ReplicateError, match=r"input\.") as caught:
        client.run(MAVERICK, input=wrong)

    assert caught.value.status == 422
    assert caught.value.title == "Input validation failed"


def test_an_unknown_version_is_an_error(client: Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(version="nothing", input=INPUT)

    assert caught.value.status == 422
    assert caught.value.title == "Invalid version or not permitted"


def test_a_model_that_replicate_does_not_have_is_an_error(client: Client) -> None:
    with pytest.raises(ModelError):
        client.run("nobody/nothing", input=INPUT)


def test_a_webhook_arrives_and_proves_from_whom_it_is(client: Client) -> None:
    with open_receiver() as receiver:
        created = client.predictions.create(
            version=MAVERICK,
            input=INPUT,
            webhook=receiver.url,
            webhook_events_filter=["start", "completed"],
        )
        received = receiver.wait_for(2)

    secret = client.webhooks.default.secret()
    for one in received:
        Webhooks.validate(headers=one.headers, body=one.raw.decode(), secret=secret)
    told = {one.body["id"] for one in received}
    assert told == {created.id}
    shown = {one.body["status"]: one.body["output"] for one in received}
    assert shown == {"starting": None, "succeeded": WORDS}


def test_a_webhook_to_a_private_network_is_refused(client: Client) -> None:
    with pytest.raises(ReplicateError, match="hosts on the Internet"):
        client.predictions.create(
            version=MAVERICK, input=INPUT, webhook="https://10.0.0.1/hook"
        )


def test_a_webhook_that_is_not_sent_is_refused_by_name(client: Client) -> None:
    with pytest.raises(ReplicateError, match="Leave `output` out"):
        client.predictions.create(
            version=MAVERICK,
            input=INPUT,
            webhook="https://example.com/hook",
            webhook_events_filter=["output"],
        )


def test_a_file_is_refused(client: Client) -> None:
    with pytest.raises(ReplicateError, match="Files are not taken"):
        client.run(MAVERICK, input={"prompt": "Hi", "image": io.BytesIO(b"pixels")})


def test_a_deployment_is_refused(client: Client) -> None:
    with pytest.raises(ReplicateError, match="no deployments") as caught:
        client.deployments.get("acme/llama")

    assert caught.value.status == 404


def test_a_bad_access_token_is_an_error(site: Site) -> None:
    client = connect(site, "r8_of_replicate")

    with pytest.raises(ReplicateError) as caught:
        client.run(MAVERICK, input=INPUT)

    client._client.close()
    assert (caught.value.status, caught.value.title) == (401, "Unauthenticated")


def test_the_older_header_lets_in(site: Site) -> None:
    client = connect(site, "", headers={"Authorization": f"Token {ALICE}"})

    account = client.accounts.current()

    client._client.close()
    assert account.username == "alice"


def test_a_base_url_that_is_too_long_says_so(site: Site) -> None:
    client = connect(site, ALICE, base_url=f"{site.origin}/replicate/v1")

    with pytest.raises(ReplicateError, match="/v1 too many"):
        client.run(MAVERICK, input=INPUT)

    client._client.close()


def test_somebody_else_sees_nothing_of_it(client: Client, bobs: Client) -> None:
    created = client.models.predictions.create(MAVERICK, INPUT, wait=10)

    with pytest.raises(ReplicateError) as caught:
        bobs.predictions.get(created.id)

    assert caught.value.status == 404
    with pytest.raises(ReplicateError):
        bobs.predictions.cancel(created.id)
    assert created.id not in [each.id for each in bobs.predictions.list()]


def test_a_prediction_outlives_the_server(site: Site, client: Client) -> None:
    site.replicate.set(first_delay=0.4)
    created = client.predictions.create(version=MAVERICK, input=INPUT)

    site.restart()

    created.wait()
    assert (created.status, created.output) == ("succeeded", WORDS)


def test_an_address_of_a_stream_outlives_the_server(site: Site, client: Client) -> None:
    created = client.models.predictions.create(MAVERICK, INPUT, wait=10)

    site.restart()

    assert "".join(map(str, created.stream())) == INPUT["prompt"]


async def test_async_run_answers_with_the_words(async_client: Client) -> None:
    assert await async_client.async_run(MAVERICK, input=INPUT) == WORDS


async def test_async_run_raises_what_went_wrong(
    site: Site, async_client: Client
) -> None:
    await asyncio.to_thread(
        site.replicate.rule, end="failed", error="Out of luck", times=None
    )

    with pytest.raises(ModelError, match="Out of luck"):
        await async_client.async_run(MAVERICK, input=INPUT)


async def test_async_stream_brings_every_word(async_client: Client) -> None:
    told = await async_client.async_stream(MAVERICK, input=INPUT)

    events = [event async for event in told]

    assert "".join(map(str, events)) == INPUT["prompt"]
    assert events[-1].event.value == "done"


async def test_async_create_wait_and_reload(async_client: Client) -> None:
    created = await async_client.predictions.async_create(MAVERICK, input=INPUT)

    await created.async_wait()

    again = await async_client.predictions.async_get(created.id)
    assert created.output == again.output == WORDS


async def test_async_cancel_cancels(site: Site, async_client: Client) -> None:
    await asyncio.to_thread(site.replicate.set, start_delay=60)
    created = await async_client.predictions.async_create(MAVERICK, input=INPUT)

    await created.async_cancel()

    assert created.status == "canceled"


async def test_async_list_and_look(async_client: Client) -> None:
    made = await async_client.models.predictions.async_create(MAVERICK, INPUT, wait=10)

    page = await async_client.predictions.async_list()

    assert page[0].id == made.id
    model = await async_client.models.async_get(MAVERICK)
    assert model.id == MAVERICK


def test_the_program_in_the_documentation_runs(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "replicate-api.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("```python\n")
    program = rest.partition("```")[0].replace("http://127.0.0.1:8000", site.origin)
    names: dict[str, Any] = {}

    exec(program, names)

    names["client"]._client.close()
    told = capsys.readouterr().out
    assert told.startswith("What is FastAPI?And Starlette?\n")
    assert "succeeded And Starlette?" in told


def test_the_client_is_the_stable_one() -> None:
    assert version("replicate") == "1.0.7"
