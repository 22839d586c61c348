"""The floor and `llamakeep serve`, as they are started by somebody who uses them."""

import http.client
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.cores import pin_to_server_core
from bench.load import Target
from bench.processes import Running, started
from bench.servers import BARE

OURS = "llamakeep serve"
LONGEST = 60

CREDENTIALS = {"authorization": "Bearer token_alice"}


def command(name: str, port: int, upstream: int) -> list[str]:
    if name == BARE:
        base = f"http://127.0.0.1:{upstream}/v1"
        return [sys.executable, "-m", "bench.passthrough", str(port), base]
    return [sys.executable, "-m", "llamakeep", "serve", "--demo", "--port", str(port)]


@contextmanager
def serving_shipped(
    name: str, port: int, upstream: int, folder: str
) -> Iterator[Running]:
    """Start `OURS` or the floor on the server's core, until it says that it lives."""
    environment = {
        "LLAMAKEEP_DATABASE_URL": f"sqlite:///{folder}/llamakeep.db",
        "LLAMAKEEP_OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
        "LLAMAKEEP_OPENAI_MODELS": '["bench"]',
        "LLAMAKEEP_LOCAL_MODEL": "none",
        # By default 512 runs go on at once, and others wait.
        "LLAMAKEEP_MAX_RUNNING": "4096",
    }
    began = time.perf_counter()
    with started(
        command(name, port, upstream), folder, environment, is_quiet=True
    ) as child:
        pin_to_server_core(child.pid)
        while not lives(name, port):
            if child.poll() is not None or time.perf_counter() > began + LONGEST:
                raise SystemExit(f"{name} did not start")
            time.sleep(0.002)
        yield Running(child.pid, port, time.perf_counter() - began)


def lives(name: str, port: int) -> bool:
    """Return whether `/healthz` is answered: with 200, by whoever has it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == (404 if name == BARE else 200)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def target(name: str, port: int, **more: object) -> Target:
    """Return a prompt for it."""
    message = {"role": "user", "content": "What is FastAPI?"}
    body = {"model": "bench", "messages": [message], **more}
    if name == BARE:
        return Target(port, "/prompt/", body)
    return Target(port, "/v1/chat/completions", body, CREDENTIALS)
