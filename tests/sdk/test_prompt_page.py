"""The programs of `docs/prompts.md`, as a reader would run them."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.sdk.clients import history
from tests.sdk.programs import output_of, programs_of
from tests.sdk.site import ALICE, Process

COMMANDS = {"python": [sys.executable, "-c"], "bash": ["bash", "-euc"]}


def said_by(language: str, server: Process, folder: Path) -> str:
    """Run the program of the page in a language, and return what it printed."""
    [program] = [text for each, text in programs_of("prompts") if each == language]
    environment = {
        "LLAMAKEEP_URL": server.origin,
        "LLAMAKEEP_TOKEN": ALICE,
        "PATH": os.environ["PATH"],
    }
    return output_of(
        *COMMANDS[language], program, folder=folder, environment=environment
    )


def test_the_embedded_model_calls_and_answers_what_the_tool_returned(
    embedded: Process, tmp_path: Path
) -> None:
    said = said_by("python", embedded, tmp_path)

    end, run = history(embedded, limit=2)
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
