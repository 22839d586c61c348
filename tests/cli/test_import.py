"""Importing what the first version, or something like it, has kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Type

PAIR = {
    "timestamp": "2025-06-28T12:34:56Z",
    "prompt": "What is FastAPI and why is it useful?",
    "response": "FastAPI is a modern Python web framework...",
}
OTHER = {"timestamp": 1751114097, "prompt": "Hi", "response": "Ho", "more": 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.json"


def _history(typed: Type, username: str) -> list[Any]:
    listed = typed("history", "list", "--user", username, "--json")
    return [json.loads(line) for line in listed.stdout.splitlines()]


@pytest.mark.parametrize("content", [{"history": [PAIR, OTHER]}, [PAIR, OTHER]])
def test_importing_twice_adds_nothing(typed: Type, file: Path, content: Any) -> None:
    file.write_text(json.dumps(content))
    command = ("import", str(file), "--user", "carol", "--create-users")

    first, second = typed(*command), typed(*command)

    assert first.exit_code == second.exit_code == 0, first.stderr + second.stderr
    assert first.stdout == "All 2 entries are in the history of carol.\n"
    newest, oldest = _history(typed, "carol")
    assert {name: oldest[name] for name in PAIR} == PAIR
    assert newest["timestamp"] == "2025-06-28T12:34:57Z"


def test_a_file_may_hold_the_histories_of_many(typed: Type, file: Path) -> None:
    file.write_text(json.dumps({"carol": [PAIR], "dora": {"history": [OTHER]}}))

    imported = typed("import", str(file), "--create-users")

    assert imported.exit_code == 0, imported.stderr
    assert [one["prompt"] for one in _history(typed, "carol")] == [PAIR["prompt"]]
    assert [one["prompt"] for one in _history(typed, "dora")] == ["Hi"]


def test_nobody_is_created_unless_that_is_wanted(typed: Type, file: Path) -> None:
    file.write_text(json.dumps([PAIR]))

    imported = typed("import", str(file), "--user", "carol")

    assert imported.exit_code == 1
    assert "There is no user 'carol'" in imported.stderr
    assert typed("user", "list").stdout == ""


def test_bad_entries_are_named_and_nothing_is_imported(typed: Type, file: Path) -> None:
    wrong = [PAIR, 5, PAIR | {"timestamp": "soon"}, PAIR | {"prompt": "a\0"}, {}]
    wrong += [PAIR | {"timestamp": -1}, PAIR | {"response": None}]
    file.write_text(json.dumps({"history": wrong}))

    imported = typed("import", str(file), "--user", "carol", "--create-users")

    faults = [line.split(": ")[2:] for line in imported.stderr.splitlines()[:-1]]
    assert imported.exit_code == 1
    assert [fault[0] for fault in faults] == [f"history[{n}]" for n in range(1, 7)]
    assert typed("user", "list").stdout == ""


@pytest.mark.parametrize(
    ("content", "user", "fault"),
    [
        ("{", None, "it is not JSON"),
        ("[" * 100_000, None, "nested too deeply"),
        ("[]", None, "use --user NAME"),
        ("5", None, "neither a history nor a list"),
        ('{"carol": []}', "carol", "leave --user out"),
        ('{"carol": 5}', None, "carol: it is not a list"),
        ('{"a b": []}', None, "'a b': A username has"),
    ],
)
def test_a_file_of_another_shape_is_refused(
    typed: Type, file: Path, content: str, user: str | None, fault: str
) -> None:
    file.write_text(content)

    imported = typed("import", str(file), *(["--user", user] if user else []))

    assert imported.exit_code == 1
    assert fault in imported.stderr


def test_of_many_faults_the_first_are_named(typed: Type, file: Path) -> None:
    file.write_text(json.dumps([5] * 30))

    imported = typed("import", str(file), "--user", "carol")

    assert imported.stderr.count("it is not an object") == 20
    assert "and 10 more" in imported.stderr


def test_an_empty_history_is_no_fault(typed: Type, file: Path) -> None:
    file.write_text('{"history": []}')

    imported = typed("import", str(file), "--user", "carol")

    assert imported.exit_code == 0
    assert imported.stdout == "There are no entries in the file.\n"


def _exported(typed: Type, file: Path) -> bytes:
    file.write_text(json.dumps([PAIR, OTHER]))
    typed("import", str(file), "--user", "carol", "--create-users")
    listed = typed("history", "list", "--user", "carol", "--json")
    return listed.stdout.encode()


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("user", [(), ("--user", "carol")])
def test_an_export_is_sent_to_the_command_that_imports_it(
    typed: Type, file: Path, user: tuple[str, ...], lines: int
) -> None:
    exported = _exported(typed, file)
    file.write_bytes(b"".join(exported.splitlines(keepends=True)[:lines]))

    refused = typed("import", str(file), *user)
    done = typed("history", "import", str(file), "--user", "carol")

    assert refused.exit_code == 1
    assert "`llamakeep history import FILE --user NAME`" in refused.stderr
    assert "leave --user out" not in refused.stderr
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    "content",
    [[PAIR], {"history": [PAIR]}, {"carol": [PAIR]}, {"carol": {"history": [PAIR]}}],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_history_in_one_piece_is_sent_to_the_command_that_imports_it(
    typed: Type, file: Path, content: Any, indent: int | None
) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="a long password\n")
    file.write_text(json.dumps(content, indent=indent))

    refused = typed("history", "import", str(file), "--user", "carol")

    assert refused.exit_code == 1
    assert "`llamakeep import FILE`" in refused.stderr
    assert "line 1" not in refused.stderr


def test_what_is_wrong_with_a_search_is_said_in_the_words_of_the_command(
    typed: Type,
) -> None:
    typed("user", "add", "carol", "--password-stdin", stdin="a long password\n")

    refused = typed("history", "search", "!!!", "--user", "carol")

    assert refused.exit_code == 1
    assert refused.stderr == (
        "llamakeep: It has neither letters nor digits: there is nothing to look for.\n"
    )
