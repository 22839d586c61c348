"""What the first README's reader types, and the names it speaks of."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import llamakeep
from llamakeep.api import dependencies
from llamakeep.api.accounts import me
from llamakeep.api.history import routes as history
from llamakeep.api.prompts import routes as prompt
from llamakeep.storage import Storage

ROOT = Path(__file__).parents[2]
ANSWER = b'data: {"choices":[{"delta":{"content":"FastAPI is a modern Python web "}}]}'
END = b'data: {"choices":[{"delta":{"content":"framework"},"finish_reason":"stop"}]}'
RESPONSE = b"\n\n".join([ANSWER, END, b"data: [DONE]", b""])
UPSTREAM = f"""
import http.server, sys

class Upstream(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write({RESPONSE!r})

server = http.server.HTTPServer(("127.0.0.1", 0), Upstream)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def upstream() -> Iterator[str]:
    """An OpenAI-compatible server with one answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", UPSTREAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.kill()


@pytest.fixture
def porch(upstream: str, tmp_path: Path) -> Iterator[str]:
    """`uvicorn app.main:app` in an empty folder, with a `.env` in it."""
    (tmp_path / ".env").write_text(
        f'LLAMAKEEP_OPENAI_BASE_URL={upstream}\nLLAMAKEEP_OPENAI_MODELS=["parrot"]\n'
    )
    with socket.socket() as listener, (tmp_path / "log").open("wb") as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours = ("LLAMAKEEP_", "REPLICATE_API_TOKEN")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        command = ["uvicorn", "app.main:app", "--fd", str(listener.fileno())]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=clean | {"PYTHONPATH": str(ROOT), "LLAMAKEEP_DEMO": "1"},
            pass_fds=[listener.fileno()],
            stderr=log,
        )
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    process.terminate()
    assert process.wait(10) in {0, -15}, (tmp_path / "log").read_text()


def call(url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.status, json.load(response)


@pytest.mark.slow
def test_the_first_readmes_server_starts_and_answers_its_three_calls(
    porch: str, tmp_path: Path
) -> None:
    json_body = {"Content-Type": "application/json"}
    bearer = {"Authorization": "Bearer token_alice"}

    login = call(
        f"{porch}/login/", {"username": "alice", "password": "secret1"}, **json_body
    )
    question = {"prompt": "What is FastAPI and why is it useful?"}
    prompt = call(f"{porch}/prompt/", question, **bearer, **json_body)
    history = call(f"{porch}/history/", **bearer)

    assert (login[0], login[1]["token"]) == (200, "token_alice")
    assert prompt[0] == 200
    assert prompt[1]["response"] == "FastAPI is a modern Python web framework"
    [kept] = history[1]["history"]
    assert kept["prompt"] == question["prompt"]
    assert kept["response"] == prompt[1]["response"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", kept["timestamp"])
    assert (tmp_path / "llamakeep.db").stat().st_mode & 0o077 == 0


def test_run_llama_is_the_way_to_answer_one_prompt() -> None:
    assert next(iter(signature(llamakeep.run_llama).parameters)) == "prompt"


def test_storage_add_keeps_a_user_a_prompt_and_a_response() -> None:
    assert [*signature(Storage.add).parameters][:4] == [
        "self",
        "user",
        "prompt",
        "response",
    ]


@pytest.mark.parametrize("door", [me.me, prompt.prompt, history.history])
def test_auth_user_guards_the_doors(door: Any) -> None:
    [annotation] = [
        parameter.annotation
        for name, parameter in signature(door).parameters.items()
        if name == "user"
    ]

    assert annotation.__metadata__[0].dependency is dependencies.auth_user
