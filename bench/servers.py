"""The three that a run needs: a provider, the floor, and llamakeep, each a process."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.load import Target
from bench.processes import Running, call, free_port, process
from bench.server import PASSWORD, USERNAME

BARE, PROMPT, CHAT = "bare pass-through", "llamakeep /prompt/", "llamakeep /v1"

_QUESTION = "What is FastAPI and why is it useful?"
_PROMPT = {"prompt": _QUESTION}
_CHAT = {"model": "bench", "messages": [{"role": "user", "content": _QUESTION}]}


@dataclass(frozen=True, slots=True)
class Servers:
    """They listen, and somebody is logged in."""

    upstream: Running
    bare: Running
    ours: Running
    access_token: str

    def targets(self, **more: object) -> dict[str, Target]:
        """Return the same prompt by all doors; `more` is sent along with it."""
        login = {"authorization": f"Bearer {self.access_token}"}
        return {
            BARE: Target(self.bare.port, "/prompt/", _CHAT | more),
            PROMPT: Target(self.ours.port, "/prompt/", _PROMPT | more, login),
            CHAT: Target(self.ours.port, "/v1/chat/completions", _CHAT | more, login),
        }

    def pid(self, target: Target) -> int:
        """Return who answers it."""
        return self.bare.pid if target.port == self.bare.port else self.ours.pid

    def commits(self) -> int:
        """Return how many durable commits llamakeep made."""
        return int(call(self.ours.port, "/commits"))

    def pids(self) -> tuple[int, int, int]:
        return self.upstream.pid, self.bare.pid, self.ours.pid


@contextmanager
def serving() -> Iterator[Servers]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        ports = [free_port() for _ in range(3)]
        base = f"http://127.0.0.1:{ports[0]}/v1"
        upstream, bare, ours = [
            stack.enter_context(process(module, port, *more, folder=folder))
            for module, port, more in zip(
                ("bench.upstream", "bench.passthrough", "bench.server"),
                ports,
                ((), (base,), (base, f"{folder}/bench.db")),
                strict=True,
            )
        ]
        login = {"username": USERNAME, "password": PASSWORD}
        access_token = call(ours.port, "/login/", login)["token"]
        yield Servers(upstream, bare, ours, access_token)
