"""`llamakeep backup`, `restore` and `verify`."""

import os
from pathlib import Path

import pytest

from llamakeep.storage.database.schema import HEAD
from tests.cli.conftest import Type


def add_user(typed: Type, name: str) -> None:
    done = typed("user", "add", name, "--password-stdin", stdin="a long password\n")
    assert done.exit_code == 0, done.output


def test_a_database_goes_back_to_what_it_was(typed: Type, tmp_path: Path) -> None:
    file = str(tmp_path / "nightly")
    add_user(typed, "alice")

    taken = typed("backup", file)
    add_user(typed, "bob")
    refused = typed("restore", file)
    back = typed("restore", file, "--replace")

    assert taken.stdout.endswith(
        f"is whole: 1 users, 0 runs, 0 of them under way, 0 images, revision {HEAD}.\n"
    )
    assert refused.exit_code == 1
    assert "With `--replace`, it is renamed and kept" in refused.stderr
    assert "llamakeep.db is what it was when" in back.stdout
    assert f"is kept as {Path.cwd()}{os.sep}llamakeep.db.replaced-" in back.stdout
    assert "bob" not in typed("user", "list").stdout
    assert "alice" in typed("user", "list").stdout


def test_a_backup_is_restored_where_there_was_nothing(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "nightly")
    add_user(typed, "alice")
    typed("backup", file)
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", elsewhere)

    done = typed("restore", file)

    assert done.exit_code == 0, done.output
    assert "is kept as" not in done.stdout
    assert "alice" in typed("user", "list").stdout


def test_a_file_that_cannot_be_written_or_read_is_named_and_so_is_the_reason(
    typed: Type, tmp_path: Path
) -> None:
    add_user(typed, "alice")
    long = str(tmp_path / ("n" * 300))

    written = typed("backup", long)
    read = typed("restore", str(tmp_path / "missing"))

    assert written.exit_code == read.exit_code == 1
    assert f"{long} cannot be written: File name too long." in written.stderr
    assert "missing cannot be read: No such file or directory." in read.stderr


def test_a_backup_and_a_database_are_verified(typed: Type, tmp_path: Path) -> None:
    file = tmp_path / "nightly"
    typed("backup", str(file))

    assert typed("verify", str(file)).stdout.startswith(f"{file} is whole: 0 users")
    assert "llamakeep.db is whole" in typed("verify").stdout
    named = typed("verify", f"sqlite:///{tmp_path / 'llamakeep.db'}")
    assert "llamakeep.db is whole" in named.stdout

    file.write_bytes(file.read_bytes().replace(b"alembic", b"Alembic", 1))
    done = typed("verify", str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{file} is damaged" in done.stderr
    assert typed("verify", str(tmp_path / "none")).exit_code == 1


def test_a_database_is_copied_to_another_one(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_user(typed, "alice")
    source = f"sqlite:///{tmp_path / 'llamakeep.db'}"
    target = f"sqlite:///{tmp_path / 'other.db'}"

    done = typed("copy", source, target)

    assert done.exit_code == 0, done.output
    assert "and each is equal" in done.stdout
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", target)
    assert "alice" in typed("user", "list").stdout
    again = typed("copy", source, target)
    assert (again.exit_code, "Nothing was changed" in again.stderr) == (1, True)
