"""The programs of `docs/clients/`, as a reader would run them."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import httpx2
import pytest

from tests.emulator.driver import NO_CERTIFICATES
from tests.node import node_with_packages
from tests.sdk.programs import DOCS, output_of, programs_of
from tests.sdk.site import ALICE, Site

PAGES = DOCS / "clients"
JAVASCRIPT = Path(__file__).parent / "js_openai"
ABLE_TO_TALK = [
    "anthropic-python",
    "langchain",
    "llm",
    "openai-node",
    "openai-python",
    "pydantic-ai",
    "vercel-ai-sdk",
]
REPLICATES = ["replicate-javascript", "replicate-python"]
JUDGED = ["instructor", "llamaindex", "openai-agents"]
"""Run by `make judges`, in environments of their own; `COMMAND_LINES` are, too."""
COMMAND_LINES = {"claude-code", "codex"}
NOT_RUN = ["README", "open-webui"]

RUN = {
    "bash": ["sh", "bash", "-eu"],
    "js": ["mjs", "node"],
    "python": ["py", sys.executable],
}

MODEL = "meta/llama-4-maverick-instruct"
SKY, COLORS = "Because of Rayleigh scattering.", "red, green, blue"
SAID = f"{SKY}\n{COLORS}\nYou are Ada.\n"


@pytest.fixture
def talkative(site: Site) -> Site:
    """A site whose model knows what the programs ask, and who Ada is if told before."""
    site.replicate.rule(match="blue?", deltas=re.findall(r"\S+\s*", SKY), times=None)
    site.replicate.rule(
        match="colors.", deltas=re.findall(r"\S+\s*", COLORS), gap=0.02, times=None
    )
    site.replicate.rule(match="Hello, Ada.", deltas=["You are ", "Ada."], times=None)
    site.replicate.rule(match="I am Ada.", deltas=["Hello, Ada."], times=None)
    return site


def test_every_page_is_run_and_in_the_index() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")}
    index = (PAGES / "README.md").read_text()

    linked = set(re.findall(r"\]\(([\w-]+)\.md\)", index))

    assert linked == pages - {"README"}
    assert pages == {
        *ABLE_TO_TALK,
        *REPLICATES,
        *JUDGED,
        *COMMAND_LINES,
        "curl",
        *NOT_RUN,
    }


def test_the_index_has_the_versions_of_the_clients_that_are_run() -> None:
    index = (PAGES / "README.md").read_text()
    root = PAGES.parents[1]
    locked = {
        pair
        for file in ("dev", "judges", "judge-instructor")
        for pair in re.findall(
            r"^([\w.-]+)==([\w.]+)",
            (root / f"requirements-{file}.txt").read_text(),
            re.MULTILINE,
        )
    }
    for packages in root.glob("tests/*/js_*/package.json"):
        locked |= set(json.loads(packages.read_text())["dependencies"].items())

    shown = set(re.findall(r"\| `([@\w/.-]+)` (\d[\w.]*)", index))

    assert len(shown) == 21
    assert shown <= locked


@pytest.mark.parametrize("page", ABLE_TO_TALK)
def test_a_program_asks_streams_and_has_a_conversation(
    talkative: Site, tmp_path: Path, page: str
) -> None:
    assert said_by(page, talkative, tmp_path) == SAID
    assert newest_prompts(talkative, 4) == [
        "Why is the sky blue?",
        "Name three colors.",
        "I am Ada.",
        "Who am I?",
    ]


@pytest.mark.parametrize("page", REPLICATES)
def test_a_program_for_replicate_asks_streams_and_finds_what_is_kept(
    talkative: Site, tmp_path: Path, page: str
) -> None:
    said = said_by(page, talkative, tmp_path)

    assert said == f"{SKY}\n{COLORS}\nHello, Ada.\n"
    assert newest_prompts(talkative, 3) == [
        "Why is the sky blue?",
        "Name three colors.",
        "I am Ada.",
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl here.")
def test_curl_is_enough(talkative: Site, tmp_path: Path) -> None:
    said = said_by("curl", talkative, tmp_path)

    decoder = json.JSONDecoder()
    answer, end = decoder.raw_decode(said)
    assert answer["response"] == SKY
    events, _, rest = said[end:].rpartition("event: done\ndata: ")
    assert "".join(re.findall(r'"text":"(.*?)"', events)) == COLORS
    streamed, end = decoder.raw_decode(rest)
    assert streamed["response"] == COLORS
    completion, more = decoder.raw_decode(rest[end:].lstrip())
    assert completion["choices"][0]["message"]["content"] == "You are Ada."
    history, _ = decoder.raw_decode(rest[end:].lstrip()[more:])
    assert [run["prompt"] for run in history["history"]] == [
        "Who am I?",
        "Name three colors.",
        "Why is the sky blue?",
    ]


def said_by(page: str, site: Site, folder: Path) -> str:
    """Run the program of a page, its last block, and return what it printed."""
    language, program = programs_of(f"clients/{page}")[-1]
    assert 10 <= len(program.split("\n")) <= 40
    ending, *command = RUN[language]
    file = folder / f"program.{ending}"
    # The models behind the site are Replicate's.
    assert (
        page not in [*ABLE_TO_TALK, *REPLICATES]
        or "smollm2" in program
        or ("models.list" in program)
    )
    file.write_text(re.sub(r"local[:/]smollm2-135m-instruct", MODEL, program))
    if language == "js":
        node_with_packages(JAVASCRIPT)
        (folder / "node_modules").symlink_to(JAVASCRIPT / "node_modules")
    return output_of(
        *command, str(file), folder=folder, environment=environment(page, site, folder)
    )


def environment(page: str, site: Site, folder: Path) -> dict[str, str]:
    """Return the variables that a page tells to set, and what keeps a test apart."""
    text = (PAGES / f"{page}.md").read_text()
    told = re.findall(r"^export (\w+)=(\S+)", text, re.MULTILINE)
    assert told
    set_by_reader = {
        name: value.replace("http://127.0.0.1:8000", site.origin).replace(
            "$HOME", str(folder)
        )
        for name, value in told
    }
    programs = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return set_by_reader | {
        "HOME": str(folder),
        "PATH": os.pathsep.join(programs),
        # Nobody is told of our tests.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "LANGSMITH_TRACING": "false",
        "DO_NOT_TRACK": "1",
        # The package with our small model's weights calls itself a plug-in of llm.
        "LLM_LOAD_PLUGINS": "",
    }


def newest_prompts(site: Site, count: int) -> list[str]:
    """Return what alice asked last, in the order in which she did."""
    answer = httpx2.get(
        f"{site.origin}/history/",
        params={"limit": count},
        headers={"Authorization": f"Bearer {ALICE}"},
        verify=NO_CERTIFICATES,
    )
    return [run["prompt"] for run in reversed(answer.json()["history"])]
