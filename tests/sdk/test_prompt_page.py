"""The programs of `docs/prompts.md`, as a reader would run them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from llamakeep.providers.local.weights import find_weights, has_engine
from llamakeep.settings import Settings
from tests.acceptance.processes import Runner
from tests.sdk.site import ALICE, Process
from tests.sdk.test_client_pages import PAGES, PROGRAM
from tests.waiting import LONG_ENOUGH

PAGE = PAGES.parent / "prompts.md"
COMMANDS = {"python": [sys.executable, "-c"], "bash": ["bash", "-euc"]}


@pytest.fixture(scope="module")
def embedded(
    runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A server that is answered by the embedded model."""
    if not has_engine() or find_weights(Settings(_env_file=None)) is None:  # type: ignore[call-arg] # pydantic-settings'
        pytest.skip("The embedded model is not installed; `make run` installs it.")
    server = Process(runner, tmp_path_factory.mktemp("embedded"), local_threads=1)
    yield server
    server.close()


def said_by(language: str, server: Process, folder: Path) -> str:
    """Run the program of the page in a language, and return what it printed."""
    [program] = [
        program
        for each, program in PROGRAM.findall(PAGE.read_text("utf-8"))
        if each == language
    ]
    done = subprocess.run(
        [*COMMANDS[language], program],
        cwd=folder,
        env={
            "LLAMAKEEP_URL": server.origin,
            "LLAMAKEEP_TOKEN": ALICE,
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LONG_ENOUGH,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_embedded_model_calls_and_answers_what_the_tool_returned(
    embedded: Process, tmp_path: Path
) -> None:
    said = said_by("python", embedded, tmp_path)

    headers = {"Authorization": f"Bearer {ALICE}"}
    history = httpx2.get(f"{embedded.origin}/history/?limit=2", headers=headers)
    end, run = history.json()["history"]
    assert said.strip()
    assert run["output"][0]["name"] == "get_weather"
    assert end["last_message"]["parts"][0]["call_id"] == run["output"][0]["call_id"]
    assert end["conversation_id"] == run["conversation_id"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl here.")
def test_the_embedded_model_keeps_to_a_schema(
    embedded: Process, tmp_path: Path
) -> None:
    answer = json.loads(said_by("bash", embedded, tmp_path))

    verdict = json.loads(answer["response"])
    assert verdict in ({"yes": True}, {"yes": False})
