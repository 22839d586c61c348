"""What all commands have in common."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamakeep import __version__
from llamakeep.cli.users import all_users
from llamakeep.errors import DatabaseOutdated
from llamakeep.settings import Settings
from llamakeep.storage import migrate_database
from llamakeep.storage.database import schema
from tests.cli.conftest import ROOT, Type

NOT_FOR_SQLITE = {
    "alembic",
    "asyncpg",
    "replicate_emulator",
    "llamakeep.workers",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "valkey",
    "xllamacpp",
}
SLOW = {"alembic", "argon2", "asyncio", "fastapi", "pydantic", "rich", "sqlalchemy"}


@pytest.mark.slow
def test_knowing_the_commands_imports_nothing_slow() -> None:
    code = "import llamakeep.cli, sys; print(*sys.modules, sep='\\n')"

    imported = subprocess.check_output(
        [sys.executable, "-c", code], text=True, cwd=ROOT
    )

    assert "llamakeep.cli.serve" in imported.splitlines()
    assert SLOW.isdisjoint(imported.splitlines())


@pytest.mark.slow
def test_a_server_on_a_new_file_imports_nothing_that_others_need(
    tmp_path: Path,
) -> None:
    code = f"""
import asyncio, sys
from llamakeep import app, cli, server
from llamakeep.settings import Settings
settings = Settings(database_url="sqlite:///{tmp_path / "new.db"}")
started = app.create_app(settings)
async def main():
    async with started.router.lifespan_context(started):
        print(*sys.modules, sep="\\n")
asyncio.run(main())
"""

    imported = subprocess.check_output(
        [sys.executable, "-c", code], text=True, cwd=ROOT
    )

    assert "llamakeep.api.prompts.routes" in imported.splitlines()
    assert NOT_FOR_SQLITE.isdisjoint(imported.splitlines())


def test_the_version_is_told(typed: Type) -> None:
    assert typed("--version").stdout == f"llamakeep {__version__}\n"


@pytest.mark.slow
def test_the_reference_is_what_the_program_would_write() -> None:
    script = ROOT / "scripts" / "cli_reference.py"

    check = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )

    assert (check.stdout, check.stderr) == ("", "")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("LLAMAKEEP_LEASE", "-1", "LLAMAKEEP_LEASE: It has to be more than 0."),
        ("LLAMAKEEP_LEASE", "1", "lease must be at least three times flush_interval"),
        ("LLAMAKEEP_LOG_LEVEL", "x", "LLAMAKEEP_LOG_LEVEL: It has to be 'debug',"),
        ("LLAMAKEEP_OPENAI_MODELS", "[x", "LLAMAKEEP_OPENAI_MODELS: It is a list that"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    typed: Type, monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(name, value)

    listed = typed("user", "list")

    assert listed.exit_code == 2
    assert listed.stderr.startswith(f"llamakeep: {complaint}")
    assert listed.stderr.count("\n") == 1


def test_a_database_that_cannot_be_opened_is_named(
    typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMAKEEP_DATABASE_URL", "sqlite:////nowhere/at/all.db")

    migrated = typed("migrate")

    assert migrated.exit_code == 1
    assert migrated.stderr.startswith("llamakeep: The database file /nowhere/at/all.db")


def test_migrating_says_from_where_to_where(typed: Type, fresh: Path) -> None:
    first, second = typed("migrate"), typed("migrate")

    assert first.stdout == f"{fresh}: from revision none to {schema.HEAD}.\n"
    assert second.stdout == f"{fresh} is at revision {schema.HEAD} already.\n"


async def test_postgresql_is_migrated_only_when_that_is_asked_for(
    settings: Settings, postgres_url: str
) -> None:
    settings = settings.model_copy(update={"database_url": postgres_url})

    with pytest.raises(DatabaseOutdated, match="Run `llamakeep migrate` once"):
        await all_users(settings)
    migrated = await migrate_database(postgres_url)

    assert migrated == (None, schema.HEAD)
    assert await all_users(settings) == []


@pytest.mark.parametrize("answers", ["nonsense", "", "ftp://localhost", "http://"])
def test_who_answers_for_the_emulator_has_to_be_known(
    typed: Type, answers: str
) -> None:
    started = typed("replicate-emulator", "--answers", answers)

    assert started.exit_code == 2
    assert "--answers: It has to be `echo`" in started.stderr


def test_rules_for_the_emulator_that_make_no_sense_are_refused(
    typed: Type, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('[{"nonsense": 1}]')

    started = typed("replicate-emulator", "--rules", str(rules))

    assert started.exit_code == 2
    assert "0.nonsense: There is no such field." in started.stderr


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["asyncpg", "greenlet"])
def test_a_driver_that_is_missing_is_named_with_what_installs_it(
    missing: str,
) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "sys.argv = ['llamakeep', 'migrate']; from llamakeep.cli import main; main()"
    )
    url = "postgresql://lk:s3cret@db/kept"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"LLAMAKEEP_DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "pip install 'llamakeep[postgres]'" in done.stderr
    assert f"{missing} is missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--version >&-", ""),
        ("--version >/dev/full", "output cannot be written: No space left on device."),
        ("user add ada --password-stdin <&-", "has 8 to 1024 characters"),
    ],
)
def test_a_closed_or_full_stream_is_no_bug(
    command: str, said: str, tmp_path: Path
) -> None:
    asked = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m llamakeep {command}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert said in asked.stderr
    assert (asked.returncode, len(asked.stderr.splitlines())) == (
        bool(said),
        bool(said),
    )
