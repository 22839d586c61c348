"""Replicate's own client for JavaScript, unchanged, against llamakeep."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.driver import MAVERICK
from tests.emulator.receiver import open_receiver
from tests.node import Drive, driving, node_with_packages
from tests.sdk.site import ALICE, BOB, Site

FOLDER = Path(__file__).parent / "js_replicate"
WORDS = ["one", " two", " three"]
Act = Callable[..., Any]


class Thrown(Exception):
    """What the client threw."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


@pytest.fixture(scope="module")
def node() -> str:
    return node_with_packages(FOLDER)


@pytest.fixture(scope="module")
def client(node: str, one_site: Site) -> Iterator[Drive]:
    with driving(node, FOLDER, one_site.origin, ALICE) as drive:
        yield drive


@pytest.fixture
def act(site: Site, client: Drive) -> Act:
    """Let alice's client do something, with a server whose model echoes."""
    del site

    def run(name: str, argument: Any = None) -> Any:
        answer = client(name, argument)
        if "thrown" in answer:
            raise Thrown(answer["thrown"], answer["status"])
        return answer.get("value")

    return run


@pytest.mark.parametrize("name", ["run", "runPolling"])
def test_run_answers_with_the_words(act: Act, name: str) -> None:
    assert act(name) == WORDS


def test_run_takes_a_version(act: Act) -> None:
    version = act("model", MAVERICK)["latest_version"]["id"]

    assert act("runNamed", f"{MAVERICK}:{version}") == WORDS


def test_run_polls_when_the_wait_was_in_vain(site: Site, act: Act) -> None:
    site.replicate.set(first_delay=1.3)

    assert act("runPatiently", 1) == WORDS


def test_run_tells_its_progress(act: Act) -> None:
    seen = act("runWithProgress")

    assert seen[-1] == ["succeeded", WORDS]


def test_run_throws_what_went_wrong(site: Site, act: Act) -> None:
    site.replicate.rule(end="failed", error="Out of luck", after=1, times=None)

    with pytest.raises(Thrown, match=r"Prediction failed: .*Out of luck"):
        act("run")


def test_run_that_is_aborted_cancels(site: Site, act: Act) -> None:
    site.replicate.set(start_delay=60)

    aborted = act("runAborted")

    assert act("get", aborted["id"])["status"] == "canceled"


def test_run_keeps_the_inputs(act: Act) -> None:
    act("run", {"max_new_tokens": 2, "system_prompt": "Be brief", "top_k": 50})

    newest = act("list")["results"][0]
    assert newest["input"] == {
        "prompt": "one two three",
        "system_prompt": "Be brief",
        "max_tokens": 2,
        "top_k": 50,
    }


def test_stream_brings_every_event(site: Site, act: Act) -> None:
    site.replicate.set(first_delay=0.1, gap=0.05)

    told = act("stream")

    *output, done = told
    assert {each["event"] for each in output} == {"output"}
    assert "".join(each["data"] for each in output) == "one two three"
    assert (done["event"], done["data"]) == ("done", "{}")
    assert all(each["id"] for each in told)
    assert len(output) > 1


def test_stream_throws_what_went_wrong(site: Site, act: Act) -> None:
    site.replicate.rule(end="failed", error="Out of luck", after=1, times=None)

    with pytest.raises(Thrown, match="Out of luck"):
        act("stream")


@pytest.mark.parametrize(
    "prompt",
    ["https://example.com is it", "a\u2028b\x85c", "a\nb\n\nc", "data:x", "🦙"],
)
def test_stream_loses_no_character(act: Act, prompt: str) -> None:
    assert act("streamText", prompt) == prompt


def test_an_address_of_a_stream_is_the_only_credential_it_needs(act: Act) -> None:
    _, ended = act("create")

    status, told = act("streamAddress", ended["urls"]["stream"])

    assert status == 200
    assert "data: one two three\n" in told
    assert "event: done\n" in told


def test_an_address_of_a_stream_cannot_be_made_up(act: Act) -> None:
    _, ended = act("create")

    status, _ = act("streamAddress", ended["urls"]["stream"][:-1] + "!")

    assert status == 401


def test_create_and_wait_end_with_the_usage(act: Act) -> None:
    created, ended = act("create")

    assert created["status"] == "starting"
    assert ended["status"] == "succeeded"
    assert ended["output"] == WORDS
    assert ended["metrics"]["output_token_count"] == 3


def test_create_waits(act: Act) -> None:
    created, _ = act("create", {"wait": True})

    assert (created["status"], created["output"]) == ("succeeded", WORDS)


def test_create_takes_a_version_that_replicate_gave(site: Site, act: Act) -> None:
    parrot = site.replicate.http.get("/v1/models/llamakeep/parrot").json()

    _, ended = act("create", {"version": parrot["latest_version"]["id"]})

    assert ended["output"] == WORDS
    assert ended["model"] == "llamakeep/parrot"
    assert ended["version"] == parrot["latest_version"]["id"]


def test_cancel_cancels(site: Site, act: Act) -> None:
    site.replicate.set(start_delay=60)
    created = act("begin")

    canceled = act("cancel", created["id"])

    assert canceled["status"] == "canceled"


def test_list_is_newest_first(act: Act) -> None:
    made = [act("create")[0]["id"] for _ in range(3)]

    listed = act("list")["results"]

    assert [each["id"] for each in listed][:3] == made[::-1]


def test_paginate_goes_on_to_the_next_page(site: Site, act: Act) -> None:
    headers = {"Authorization": f"Bearer {ALICE}"}
    page = site.replicate.http.get(
        f"{site.origin}/replicate/v1/predictions", headers=headers
    ).json()
    for _ in range(101 - len(page["results"])):
        act("create", {"wait": True})

    assert act("firstPages", 2)[0] == 100


def test_models_can_be_looked_at(act: Act) -> None:
    model = act("model", MAVERICK)

    [version] = act("versions", MAVERICK)["results"]
    assert model["latest_version"] == version
    assert act("version", [MAVERICK, version["id"]]) == version
    names = [f"{each['owner']}/{each['name']}" for each in act("models")["results"]]
    assert MAVERICK in names


def test_the_account_is_the_user(act: Act) -> None:
    assert act("account")["username"] == "alice"


@pytest.mark.parametrize(
    "wrong", [{"prompt": 1}, {"image": "x"}, {"top_p": 9}, {"prompt_template": "{x}"}]
)
def test_a_refusal_names_what_is_wrong(act: Act, wrong: dict[str, Any]) -> None:
    [name] = wrong

    with pytest.raises(Thrown, match=f"input.{name}") as caught:
        act("run", wrong)

    assert caught.value.status == 422


def test_an_unknown_version_is_refused(act: Act) -> None:
    with pytest.raises(Thrown, match="Invalid version") as caught:
        act("create", {"version": "nothing"})

    assert caught.value.status == 422


def test_a_webhook_arrives_and_proves_from_whom_it_is(act: Act) -> None:
    with open_receiver() as receiver:
        created = act("begin", {"webhook": receiver.url})
        [one] = receiver.wait_for(1)

    assert one.body["id"] == created["id"]
    assert one.body["output"] == WORDS
    body = one.raw.decode()
    assert act("isFromHere", {"headers": one.headers, "body": body}) is True
    assert act("isFromHere", {"headers": one.headers, "body": f"{body} "}) is False


def test_a_deployment_is_refused(act: Act) -> None:
    with pytest.raises(Thrown, match="no deployments") as caught:
        act("deployment")

    assert caught.value.status == 404


def test_a_file_is_refused(act: Act) -> None:
    with pytest.raises(Thrown, match="Files are not taken"):
        act("upload")


def test_a_bad_access_token_is_refused(act: Act) -> None:
    with pytest.raises(Thrown, match="Unauthenticated") as caught:
        act("runAs", "r8_of_replicate")

    assert caught.value.status == 401


def test_a_base_url_that_is_too_long_says_so(act: Act) -> None:
    with pytest.raises(Thrown, match="/v1 too many"):
        act("runTooLong")


def test_somebody_else_sees_nothing_of_it(act: Act) -> None:
    created, _ = act("create")

    with pytest.raises(Thrown) as caught:
        act("getAs", [BOB, created["id"]])

    assert caught.value.status == 404


def test_a_prediction_outlives_the_server(site: Site, act: Act) -> None:
    site.replicate.set(first_delay=0.4)
    created = act("begin")

    site.restart()

    assert act("wait", created["id"])["output"] == WORDS


def test_an_address_of_a_stream_outlives_the_server(site: Site, act: Act) -> None:
    _, ended = act("create")

    site.restart()

    status, told = act("streamAddress", ended["urls"]["stream"])
    assert (status, "one two three" in told) == (200, True)


def test_the_program_in_the_documentation_runs(site: Site, node: str) -> None:
    page = (FOLDER.parents[2] / "docs" / "replicate-api.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("```javascript\n")
    program = rest.partition("```")[0].replace("http://127.0.0.1:8000", site.origin)

    done = subprocess.run(
        [node, "--input-type=module"],
        cwd=FOLDER,
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("What is FastAPI?And Starlette?\n")
    assert "succeeded And Starlette?" in done.stdout
