"""What the command line shows where a terminal, an encoding or a person is missing."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from llamakeep.cli.terminal import print_rows, printable, printable_json
from llamakeep.storage import open_storage
from tests.cli.conftest import ROOT, Type
from tests.cli.test_terminal import somebody_looks

ORDERS = "\x9b31m\u202e\u2066\u200f\u061c\ufeff\u2028\x7f\U000e0041"


async def _keep(prompt: str, response: str) -> None:
    url = os.environ["LLAMAKEEP_DATABASE_URL"]
    async with open_storage(url) as storage:
        user = await storage.add_user("carol", None)
        await storage.add(user, prompt, response)


def test_what_orders_a_terminal_or_turns_text_around_is_replaced() -> None:
    assert printable(f"a{ORDERS}b") == "a\ufffd" + "31m" + "\ufffd" * 8 + "b"
    assert printable("한국어 עברית ✓ 👩\u200d🚀\n\t") == "한국어 עברית ✓ 👩\u200d🚀\n\t"


def test_json_says_the_same_without_such_characters() -> None:
    line = json.dumps({"prompt": f"a{ORDERS}b ✓"}, ensure_ascii=False)

    shown = printable_json(line)

    assert json.loads(shown) == json.loads(line)
    assert not set(ORDERS.replace("31m", "")) & set(shown)
    assert "✓" in shown


@pytest.mark.parametrize("arguments", [("list",), ("search", "find"), ("show",)])
def test_a_history_as_json_has_no_orders_for_a_terminal(
    typed: Type, arguments: tuple[str, ...]
) -> None:
    asyncio.run(_keep(f"find {ORDERS}", ORDERS))
    if arguments == ("show",):
        first = typed("history", "list", "--user", "carol").stdout.partition("\t")[0]
        arguments = ("show", first)

    listed = typed("history", *arguments, "--json", "--user", "carol").stdout

    assert json.loads(listed)["response"] == ORDERS
    assert not set(ORDERS.replace("31m", "")) & set(listed)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("command", ["list", "search"])
def test_what_an_encoding_does_not_have_is_replaced(
    encoding: str, command: str
) -> None:
    asyncio.run(_keep("find 안녕 ✓", "✓ 안녕"))
    words = ["find"] if command == "search" else []
    asked = ["history", command, *words, "--user", "carol"]

    done = subprocess.run(
        [sys.executable, "-m", "llamakeep", *asked],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"find ?? ?" in done.stdout


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_narrow_terminal_shows_each_row_below_the_other(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    terminal = somebody_looks(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))

    print_rows(
        ("id", "time", "prompt", "response"),
        [("run_" + "x" * 26, "2025-06-28 12:34", "word " * 12, "so")],
    )

    assert f"id: run_{'x' * 26}\n" in terminal.getvalue()
    assert f"prompt: {'word ' * 12}\n" in terminal.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "add", "dora"),
        ("ask", "--server", "http://127.0.0.1:9", "--username", "dora", "Hi"),
    ],
)
def test_a_password_without_a_terminal_is_asked_for_on_standard_input(
    arguments: tuple[str, ...],
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llamakeep", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
    )

    assert done.returncode == 2
    assert done.stderr == (
        "llamakeep: There is no terminal to ask for the password on. Send it to "
        "standard input, with `--password-stdin`.\n"
    )


def test_a_password_for_a_server_may_come_from_standard_input(typed: Type) -> None:
    asked = typed(
        *("ask", "--server", "http://127.0.0.1:9", "--username", "dora"),
        *("--password-stdin", "Hi"),
        stdin="long enough\n",
    )

    assert asked.exit_code == 1
    assert "cannot be reached" in asked.stderr


@pytest.mark.slow
def test_an_interpreter_without_packages_goes_on_with_our_own() -> None:
    bare = [sys.executable, "-S", "-m", "llamakeep", "--version"]

    done = subprocess.run(
        bare, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    if (ROOT / ".venv" / "bin" / "python").exists():
        assert done.stdout.startswith("llamakeep 0.")
    else:
        assert "Run `make run` once" in done.stderr
