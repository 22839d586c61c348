"""The files for containers and for publishing, as their own tools see them."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.release.tools import ROOT, run

COMPOSE = ROOT / "deploy" / "compose"
FILES = sorted(COMPOSE.glob("*.yaml"))


def config(file: Path, **variables: str) -> dict[str, Any]:
    """Return the services as Docker Compose understands them."""
    given = {"POSTGRES_PASSWORD": "secret"} | variables
    done = run("docker-compose", "-f", file, "config", "--format", "json", **given)
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def test_the_dockerfile_has_no_fault() -> None:
    done = run("hadolint", "Dockerfile")

    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_dockerfile_copies_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.MULTILINE)

    wanted = {f"!{name}" for line in copied for name in line.split()}
    assert {line for line in ignored if line.startswith("!")} == wanted


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (503, False)])
def test_the_image_is_healthy_while_the_server_is_ready(
    status: int, is_healthy: bool
) -> None:
    command = json.loads(dockerfile().partition("    CMD ")[2].splitlines()[0])
    assert command[0] == "python"

    with answering("/readyz", status) as port:
        checked = subprocess.run(
            [sys.executable, *command[1:]],
            env=os.environ | {"LLAMAKEEP_PORT": str(port)},
            capture_output=True,
            check=False,
        )

    assert (checked.returncode == 0) is is_healthy


@contextmanager
def answering(path: str, status: int) -> Iterator[int]:
    """Answer requests for a path with a status, on the port that this yields."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_composition_lets_llamakeep_write_its_data_only(file: Path) -> None:
    services = config(file)

    ours = [each for each in services.values() if each["image"] == "llamakeep"]
    assert ours
    for service in ours:
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    ports = [port for each in services.values() for port in each.get("ports", ())]
    assert [port["host_ip"] for port in ports] == ["127.0.0.1"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_composition_sets_only_what_is_a_setting(file: Path) -> None:
    known = (ROOT / "docs" / "reference" / "settings.md").read_text()

    names = [
        name
        for service in config(file).values()
        for name in service.get("environment", ())
        if name.startswith("LLAMAKEEP_")
    ]

    assert [name for name in names if f"## `{name}`" not in known] == []


def test_the_composition_with_postgresql_starts_nothing_without_a_password() -> None:
    file = COMPOSE / "postgresql.yaml"

    done = run("docker-compose", "-f", file, "config", POSTGRES_PASSWORD="")

    assert done.returncode != 0
    assert "POSTGRES_PASSWORD" in done.stderr


def test_the_workflow_of_releases_has_no_fault() -> None:
    done = run("zizmor", "--offline", "--no-progress", "--pedantic", ".github")

    assert done.returncode == 0, done.stdout
