"""Misconfigurations, each of which is found, alone, and with its fix."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.check.conftest import look, the_only


def nothing(_: Path) -> None:
    pass


@dataclass(frozen=True)
class Planted:
    """A mistake, and what is said of it."""

    about: str
    level: str
    said: str
    fix: str
    variables: dict[str, str] = field(default_factory=dict)
    plant: Callable[[Path], object] = nothing


def database_of(_: Path) -> Path:
    return Path(os.environ["LLAMAKEEP_DATABASE_URL"].removeprefix("sqlite:///"))


def at_revision(revision: str) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        with closing(sqlite3.connect(database_of(folder))) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])
            database.commit()

    return plant


def other_tables(folder: Path) -> None:
    database_of(folder).unlink()
    with closing(sqlite3.connect(database_of(folder))) as database:
        database.execute("CREATE TABLE orders (id)")
    database_of(folder).chmod(0o600)


def used_in_the_future(folder: Path) -> None:
    with closing(sqlite3.connect(database_of(folder))) as database:
        database.execute("INSERT INTO clock VALUES (1, ?)", [4_000_000_000 * 10**6])
        database.commit()


def secret_for_all(folder: Path) -> None:
    (folder / "key").write_text("a-secret")
    (folder / "key").chmod(0o644)


def environment_for_all(folder: Path) -> None:
    (folder / ".env").write_text("LLAMAKEEP_OPENAI_API_KEY=a-secret\n")
    (folder / ".env").chmod(0o644)


PLANTED = {
    "a variable that is misspelt": Planted(
        "settings",
        "warning",
        "LLAMAKEEP_RATE_LIMITS in the environment is no setting",
        "Correct the name",
        {"LLAMAKEEP_RATE_LIMITS": "10/second"},
    ),
    "a value that is none": Planted(
        "settings",
        "failed",
        "LLAMAKEEP_PORT: ",
        "Correct it",
        {"LLAMAKEEP_PORT": "http"},
    ),
    "a lease that is too short": Planted(
        "settings",
        "failed",
        "at least three times flush_interval",
        "Correct it",
        {"LLAMAKEEP_LEASE": "1"},
    ),
    "a secret and its file": Planted(
        "settings",
        "failed",
        "LLAMAKEEP_OPENAI_API_KEY and LLAMAKEEP_OPENAI_API_KEY_FILE are both set",
        "Correct it",
        {"LLAMAKEEP_OPENAI_API_KEY": "a", "LLAMAKEEP_OPENAI_API_KEY_FILE": "b"},
    ),
    "a secret's file that is not there": Planted(
        "settings",
        "failed",
        "gone cannot be read: No such file",
        "Correct it",
        {"LLAMAKEEP_OPENAI_API_KEY_FILE": "gone"},
    ),
    "workers on SQLite": Planted(
        "settings",
        "failed",
        "There cannot be 4 workers on SQLite",
        "LLAMAKEEP_WORKERS=1",
        {"LLAMAKEEP_WORKERS": "4"},
    ),
    "demo users for others": Planted(
        "settings",
        "failed",
        "well-known passwords",
        "Remove LLAMAKEEP_DEMO",
        {
            "LLAMAKEEP_DEMO": "true",
            "LLAMAKEEP_PUBLIC_URL": "https://llm.example.com",
            "LLAMAKEEP_TRUSTED_PROXIES": "127.0.0.1",
        },
    ),
    "all of the Internet as a proxy": Planted(
        "settings",
        "failed",
        "any client can choose the address",
        "such as 127.0.0.1",
        {"LLAMAKEEP_TRUSTED_PROXIES": "0.0.0.0/0"},
    ),
    "no TLS": Planted(
        "settings",
        "warning",
        "without TLS",
        "Put a proxy with TLS in front",
        {"LLAMAKEEP_HOST": "0.0.0.0"},
    ),
    "metrics on the port of all else": Planted(
        "settings",
        "failed",
        "LLAMAKEEP_METRICS_PORT and LLAMAKEEP_PORT are both 47811",
        "such as 9464",
        {"LLAMAKEEP_PORT": "47811", "LLAMAKEEP_METRICS_PORT": "47811"},
    ),
    "metrics that other computers read": Planted(
        "settings",
        "warning",
        "lets other computers read the metrics without a login",
        "Set LLAMAKEEP_METRICS_HOST=127.0.0.1",
        {"LLAMAKEEP_METRICS_PORT": "9464", "LLAMAKEEP_METRICS_HOST": "0.0.0.0"},
    ),
    "a proxy that is not trusted": Planted(
        "settings",
        "warning",
        "all clients seem to have the proxy's address",
        "Set LLAMAKEEP_TRUSTED_PROXIES",
        {"LLAMAKEEP_PUBLIC_URL": "https://llm.example.com"},
    ),
    "networks of webhooks without webhooks": Planted(
        "settings",
        "warning",
        "LLAMAKEEP_WEBHOOK_NETWORKS changes nothing",
        "Set LLAMAKEEP_WEBHOOKS",
        {"LLAMAKEEP_WEBHOOK_NETWORKS": "10.1.0.0/16"},
    ),
    "a silence that outlasts a run": Planted(
        "settings",
        "warning",
        "which ends a run before",
        "Set LLAMAKEEP_RUN_TIMEOUT",
        {"LLAMAKEEP_RUN_TIMEOUT": "10"},
    ),
    "a price of no model": Planted(
        "settings",
        "warning",
        "'gpt-big', which is no model's name",
        "provider:model",
        {"LLAMAKEEP_PRICES": '{"gpt-big": {"input": 1, "output": 2}}'},
    ),
    "webhooks to everywhere": Planted(
        "webhooks",
        "failed",
        "any computer that this one reaches",
        "Name the networks of the receivers",
        {"LLAMAKEEP_WEBHOOKS": "true", "LLAMAKEEP_WEBHOOK_NETWORKS": "0.0.0.0/0"},
    ),
    "a secret that can be guessed": Planted(
        "webhooks",
        "warning",
        "has 6 bytes",
        "Copy Replicate's own",
        {
            "LLAMAKEEP_REPLICATE_WEBHOOK_SECRET": "whsec_c2VjcmV0",
            "LLAMAKEEP_PUBLIC_URL": "https://llm.example.com",
            "LLAMAKEEP_TRUSTED_PROXIES": "127.0.0.1",
        },
    ),
    "a default model without a provider": Planted(
        "model",
        "failed",
        "LLAMAKEEP_DEFAULT_MODEL=other:big",
        "Configure its provider",
        {"LLAMAKEEP_DEFAULT_MODEL": "other:big", "LLAMAKEEP_OPENAI_MODELS": "parrot"},
    ),
    "a Replicate that cannot be reached": Planted(
        "replicate",
        "failed",
        "cannot be reached",
        "Let this computer reach http://127.0.0.1:9",
        {
            "REPLICATE_API_TOKEN": "r8_token",
            "LLAMAKEEP_REPLICATE_BASE_URL": "http://127.0.0.1:9",
        },
    ),
    "a file of a model that is not there": Planted(
        "local",
        "failed",
        "No such file",
        "Correct LLAMAKEEP_LOCAL_MODEL",
        {"LLAMAKEEP_LOCAL_MODEL": "gone.gguf"},
    ),
    "a file that is no model": Planted(
        "local",
        "failed",
        "is no GGUF file",
        "Correct LLAMAKEEP_LOCAL_MODEL",
        {"LLAMAKEEP_LOCAL_MODEL": "model.gguf"},
        lambda folder: (folder / "model.gguf").write_text("<html>"),
    ),
    "a model that the server does not list": Planted(
        "openai",
        "warning",
        "does not list cockatoo",
        "it lists parrot, llama3.2:latest",
        {"LLAMAKEEP_OPENAI_MODELS": "parrot,llama3.2,cockatoo"},
    ),
    "a folder that is not there": Planted(
        "disk",
        "failed",
        "There is no folder",
        "mkdir -p",
        {"LLAMAKEEP_DATABASE_URL": "sqlite:///gone/llamakeep.db"},
    ),
    "a database that is a folder": Planted(
        "database",
        "failed",
        "Is a directory",
        "a file to create",
        {"LLAMAKEEP_DATABASE_URL": "sqlite:///folder"},
        lambda folder: (folder / "folder").mkdir(mode=0o700),
    ),
    "a database that is another file": Planted(
        "database",
        "failed",
        "not a database",
        "Let LLAMAKEEP_DATABASE_URL name a database",
        plant=lambda folder: database_of(folder).write_text("Dear diary," * 1000),
    ),
    "a database of another application": Planted(
        "database",
        "failed",
        "it has the tables 'orders'",
        "Correct LLAMAKEEP_DATABASE_URL",
        plant=other_tables,
    ),
    "a URL of another database": Planted(
        "database",
        "failed",
        "must be sqlite:///FILE or postgresql://",
        "Correct LLAMAKEEP_DATABASE_URL",
        {"LLAMAKEEP_DATABASE_URL": "mysql://127.0.0.1/llamakeep"},
    ),
    "a database of a newer version": Planted(
        "database",
        "failed",
        "at revision 9999",
        "Install the version of llamakeep that wrote it",
        plant=at_revision("9999"),
    ),
    "a clock that was set back": Planted(
        "database",
        "failed",
        "it was 2096-10-02",
        "NTP",
        plant=used_in_the_future,
    ),
    "a database that others can read": Planted(
        "files",
        "warning",
        "(mode 0644)",
        "chmod 600",
        plant=lambda folder: database_of(folder).chmod(0o644),
    ),
    "a secret that others can read": Planted(
        "files",
        "warning",
        "key has a secret",
        "chmod 600 key",
        {"LLAMAKEEP_OPENAI_API_KEY_FILE": "key"},
        secret_for_all,
    ),
    "a .env that others can read": Planted(
        "files",
        "warning",
        ".env has a secret",
        "chmod 600 .env",
        plant=environment_for_all,
    ),
    "a folder that all can write": Planted(
        "files",
        "failed",
        "they can replace the database",
        "chmod o-w",
        plant=lambda folder: folder.chmod(0o777),
    ),
    "an address of another computer": Planted(
        "address",
        "failed",
        "192.0.2.1 is no address of this computer",
        "Set LLAMAKEEP_HOST",
        {
            "LLAMAKEEP_HOST": "192.0.2.1",
            "LLAMAKEEP_TRUSTED_PROXIES": "127.0.0.1",
        },
    ),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
async def test_a_mistake_is_found_with_its_fix(
    planted: Planted, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in planted.variables.items():
        monkeypatch.setenv(name, value)
    await asyncio.to_thread(planted.plant, good)

    found = the_only(await look(), planted.about)

    assert found.level == planted.level
    assert planted.said in found.message
    assert planted.fix in found.fix
