"""Reading a history out of the database."""

import asyncio
import getpass
import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from llamakeep.domain import Reasoning, RunStatus, ToolCall
from llamakeep.storage import open_storage
from tests.cli.conftest import ROOT, Type
from tests.storage.running import new_run

PAIRS = (
    ("What is a llama?", "An animal\twith\nwool."),
    ("And an ALPACA?", "Another \x1b[2Jone."),
)


@pytest.fixture
def ids(sqlite_url: str) -> Sequence[str]:
    """The ids of carol's two runs, the older first; dora has one more."""

    async def fill() -> Sequence[str]:
        async with open_storage(sqlite_url) as storage:
            carol = await storage.add_user("carol", None)
            dora = await storage.add_user("dora", None)
            await storage.add(dora, "My secret", "alpaca")
            return [(await storage.add(carol, *pair)).id for pair in PAIRS]

    return asyncio.run(fill())


def test_a_pipe_gets_a_line_for_each_run_the_newest_first(
    typed: Type, ids: Sequence[str]
) -> None:
    listed = typed("history", "list", "--user", "carol")

    lines = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [line[0] for line in lines] == ids[::-1]
    assert lines[1][2:] == [
        "succeeded",
        "imported:unknown",
        "What is a llama?",
        r"An animal\twith\nwool.",
    ]


def test_a_search_finds_a_text_whatever_its_case_and_nobody_elses(
    typed: Type, ids: Sequence[str]
) -> None:
    found = typed("history", "search", "alpaca", "--user", "carol")

    assert [line.split("\t")[0] for line in found.stdout.splitlines()] == [ids[1]]


def test_json_has_everything_one_object_a_line(typed: Type, ids: Sequence[str]) -> None:
    listed = typed("history", "list", "--user", "carol", "--json", "--limit", "1")

    [line] = listed.stdout.splitlines()
    assert json.loads(line)["id"] == ids[1]
    assert (json.loads(line)["prompt"], json.loads(line)["response"]) == PAIRS[1]


def test_one_run_can_be_shown_whole(typed: Type, ids: Sequence[str]) -> None:
    shown = typed("history", "show", ids[0], "--user", "carol")
    as_json = typed("history", "show", ids[0], "--user", "carol", "--json")

    assert shown.stdout.startswith(f"id: {ids[0]}\n")
    assert shown.stdout.endswith("\n\nWhat is a llama?\n\nAn animal\twith\nwool.\n")
    assert json.loads(as_json.stdout)["response"] == PAIRS[0][1]


def test_what_a_model_thought_and_called_is_shown(typed: Type, sqlite_url: str) -> None:
    async def add() -> str:
        async with open_storage(sqlite_url) as storage:
            carol = await storage.add_user("carol", None)
            output = (Reasoning("Hm."), ToolCall("call_1", "weather", "{}"))
            called = new_run(carol, status=RunStatus.SUCCEEDED, output=output)
            await storage.import_runs(carol, [called])
            return called.id

    shown = typed("history", "show", asyncio.run(add()), "--user", "carol")

    assert shown.stdout.endswith("\n\n[reasoning] Hm.\n\n[tool call] weather({})\n")


def test_somebody_elses_run_is_not_shown(typed: Type, ids: Sequence[str]) -> None:
    shown = typed("history", "show", ids[0], "--user", "dora")

    assert shown.exit_code == 1
    assert "no run" in shown.stderr
    assert shown.stdout == ""


def test_an_unknown_user_is_named(typed: Type) -> None:
    listed = typed("history", "list", "--user", "nobody")

    assert listed.exit_code == 1
    assert listed.stderr.startswith("llamakeep: There is no user 'nobody'.")
    assert "ask" not in listed.stderr


def test_who_has_no_user_yet_learns_how_to_get_one(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "newcomer")

    listed = typed("history", "list")

    assert listed.exit_code == 1
    assert "There is no user 'newcomer'." in listed.stderr
    assert "`llamakeep ask` adds yours" in listed.stderr


def test_looking_for_a_database_does_not_make_one(typed: Type, fresh: Path) -> None:
    listed = typed("history", "list")

    assert listed.exit_code == 1
    assert f"There is no database file {fresh}" in listed.stderr
    assert not list(fresh.parent.glob("fresh.db*"))


@pytest.mark.slow
def test_a_terminal_gets_a_table_and_no_orders_from_a_response(
    ids: Sequence[str],
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "llamakeep", "history", "list", "--user", "carol"],
        stdout=theirs,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while read := os.read(ours, 65536):
                shown += read
        except OSError:  # how Linux says that the other side is closed
            pass
    os.close(ours)

    assert process.returncode == 0
    assert ids[0] in shown.decode()
    assert "response" in shown.decode()
    assert "Another \N{REPLACEMENT CHARACTER}[2Jone." in shown.decode()
    assert b"\x1b[2J" not in shown


LINE = (
    '{"id": "run_01jgfjjz000000000000000000", "status": "succeeded", "model": "a:b", '
    '"conversation_id": "conv_01jgfjjz000000000000000000", "prompt": "Hi", '
    '"response": "Ho", "created_at": "2025-01-01T00:00:00Z"}\n'
)


def test_an_exported_file_becomes_part_of_a_history(
    typed: Type, tmp_path: Path
) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")
    file = tmp_path / "history.ndjson"
    file.write_text(LINE)

    imported = typed("history", "import", str(file), "--user", "carol")
    again = typed("history", "import", str(file), "--user", "carol")

    assert imported.stdout == "1 runs are new, and 0 were there already.\n"
    assert again.stdout == "0 runs are new, and 1 were there already.\n"
    assert "\tHi\tHo" in typed("history", "list", "--user", "carol").stdout


def test_a_file_that_is_no_export_is_refused_line_by_line(
    typed: Type, tmp_path: Path
) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="long enough\n")
    file = tmp_path / "history.ndjson"
    file.write_text(LINE + LINE.replace("succeeded", "done"))

    refused = typed("history", "import", str(file), "--user", "carol")

    assert refused.exit_code == 1
    assert f"{file}: line 2: status: " in refused.stderr
    assert "Nothing was imported" in refused.stderr
    assert typed("history", "list", "--user", "carol").stdout == ""


def test_nothing_is_imported_for_nobody(typed: Type, tmp_path: Path) -> None:
    file = tmp_path / "history.ndjson"
    file.write_text(LINE)

    refused = typed("history", "import", str(file), "--user", "nobody")

    assert refused.exit_code == 1
    assert refused.stderr.count("no user 'nobody'") == 1
