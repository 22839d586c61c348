"""`llamakeep.toml` of a server: mistakes at the start, and SIGHUP while it serves."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.conftest import Process, Type, started
from tests.providers.stub_server import (
    DONE,
    END,
    STOP,
    delta,
    head,
    running_stub,
    usage,
)
from tests.waiting import until

ALICE = {"Authorization": "Bearer token_alice"}
BAD = """\
[upstreams.one]
kind = "openai"
base_ur = "http://127.0.0.1:1/v1"

[aliases]
fast = ["two:m"]
"""


def saying(text: str) -> tuple[bytes, ...]:
    """Return the script of an upstream that answers with a text."""
    return head(), delta(text), STOP, usage(1, 1), DONE, END


def upstream(name: str, url: str) -> str:
    return f'[upstreams.{name}]\nkind = "openai"\nbase_url = "{url}"\nmodels = ["m"]\n'


async def write(path: Path, text: str) -> None:
    """Put a file in place of another one, which is never seen half."""

    def replace() -> None:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    await asyncio.to_thread(replace)


@pytest.mark.parametrize("command", [("serve", "--config", "it.toml"), ("check",)])
def test_every_mistake_is_told_before_anything_begins(
    command: tuple[str, ...],
    typed: Type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "it.toml" if "--config" in command else "llamakeep.toml"
    (tmp_path / name).write_text(BAD)
    monkeypatch.chdir(tmp_path)

    result = typed(*command)

    assert result.exit_code == (2 if "--config" in command else 1)
    said = " ".join(result.output.split())
    assert f"{name}:1: upstreams.one.base_url is missing" in said
    assert f"{name}:3: upstreams.one.base_ur is not known" in said
    assert f"{name}:6: No upstream serves 'two:m'" in said


@asynccontextmanager
async def serving(
    path: Path, **variables: str
) -> AsyncIterator[tuple[Process, httpx2.AsyncClient]]:
    options = "serve", "--port", "0", "--demo", "--config", str(path)
    async with started(*options, "--log-level", "info", **variables) as process:
        origin = (await process.line()).split()[3]
        async with httpx2.AsyncClient(base_url=origin, headers=ALICE) as client:
            yield process, client


async def ask(client: httpx2.AsyncClient, model: str) -> Any:
    body = {"prompt": "Hi", "model": model}
    return (await client.post("/prompt/", json=body, timeout=30)).json()


@pytest.mark.skipif(sys.platform == "win32", reason="there is one process")
async def test_all_workers_follow_the_file(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    path, options = tmp_path / "it.toml", {"LLAMAKEEP_WORKERS": "2"}
    options["LLAMAKEEP_DATABASE_URL"] = migrated_postgres_url
    async with running_stub(*saying("one")) as one:
        await write(path, upstream("one", one.base_url))
        async with serving(path, **options) as (process, client):
            await write(path, upstream("new", one.base_url))
            process.signal(signal.SIGHUP)
            told: list[bool] = []

            async def all_are_told() -> bool:
                # A connection of its own may be to another worker.
                headers = {"connection": "close"}
                answer = await client.get("/models/", headers=headers)
                models = [each["model"] for each in answer.json()["models"]]
                told.append("new:m" in models and "one:m" not in models)
                return told[-16:] == [True] * 16

            await until(all_are_told)
            process.signal(signal.SIGTERM)
            code, _, log = await process.ended()

    assert code == 0
    assert log.count("the upstreams are: new") == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
async def test_upstreams_change_at_sighup_and_no_prompt_fails(tmp_path: Path) -> None:
    path, go_on = tmp_path / "it.toml", asyncio.Event()
    async with (
        running_stub(*saying("one")) as one,
        running_stub(*saying("two")) as two,
    ):
        one.scripts = [(head(), delta("o"), go_on, delta("ld"), STOP, DONE, END)]
        first = upstream("one", one.base_url)
        await write(path, first)
        async with serving(path) as (process, client):
            under_way = asyncio.create_task(ask(client, "one:m"))
            await until(lambda: one.heard != [])

            # It is another one under the same name, and a new one beside it.
            both = upstream("one", two.base_url) + upstream("new", one.base_url)
            await write(path, both)
            process.signal(signal.SIGHUP)

            async def is_there() -> bool:
                return bool((await ask(client, "new:m")).get("response") == "one")

            await until(is_there)
            assert (await ask(client, "one:m"))["response"] == "two"
            assert not under_way.done()
            go_on.set()
            assert (await under_way)["response"] == "old"

            texts = [both, both + upstream("more", two.base_url), BAD]
            answers: list[Any] = []
            for number in range(50):
                await write(path, texts[number % 3])
                process.signal(signal.SIGHUP)
                answers += await asyncio.gather(
                    ask(client, "new:m"), ask(client, "one:m")
                )
            await write(path, both)
            process.signal(signal.SIGHUP)
            answers.append(await ask(client, "one:m"))
            process.signal(signal.SIGTERM)
            code, _, log = await process.ended()

    assert [each["response"] for each in answers] == ["one", "two"] * 50 + ["two"]
    assert code == 0
    assert "it.toml:3: upstreams.one.base_ur is not known" in log
    assert "the upstreams stay as they were" in log
    assert "Traceback" not in log
