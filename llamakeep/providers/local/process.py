"""The child process that runs the embedded model."""

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from llamakeep.errors import ProviderUnavailable
from llamakeep.providers.local import server as local_server
from llamakeep.providers.local.server import LocalServerOrders

START_TIMEOUT = 120.0
"""Seconds to load the weights; large ones on a slow disk take long."""
_STOP_TIMEOUT = 1.0


class LocalProcess:
    """A running child process; it ends with its parent, however that ends."""

    def __init__(self, process: Process, base_url: str, api_key: str) -> None:
        self._process = process
        self.base_url = base_url
        self.api_key = api_key

    @classmethod
    async def start(
        cls,
        model: Path,
        *,
        alias: str,
        threads: int,
        slots: int,
        context: int,
        max_tokens: int,
    ) -> "LocalProcess":
        """
        Start a child and wait until it has loaded the weights.

        Raises:
            ProviderUnavailable: It did not start; nothing is left behind.
        """
        api_key = secrets.token_urlsafe(32)
        orders = LocalServerOrders(
            model=str(model),
            alias=alias,
            api_key=api_key,
            threads=threads,
            slots=slots,
            context=context,
            max_tokens=max_tokens,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # or the `http` next to the script would hide Python's
            local_server.__file__,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which lets runs finish
        )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                answer = await _give_orders(process, orders)
        except TimeoutError:
            answer = {"error": "it took too long"}
        except BaseException:
            await _stop(process)
            raise
        if address := answer.get("address"):
            return cls(process, f"{address}/v1", api_key)
        await _stop(process)
        error = answer.get("error", "its process died")
        reason = await asyncio.to_thread(_reason, model, error)
        raise ProviderUnavailable(
            f"The embedded model {model.name!r} could not be loaded: {reason}."
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the child is not known to be gone."""
        return self._process.returncode is None

    async def has_died(self, *, within: float) -> bool:
        """Return whether the child is gone, or will be in `within` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._process.wait()
        return not self.is_running

    async def stop(self) -> None:
        """End the child, within two seconds, and leave no zombie."""
        await _stop(self._process)


async def _give_orders(process: Process, orders: LocalServerOrders) -> dict[str, str]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(orders).encode() + b"\n")
    with suppress(ConnectionError):  # it died already: the next line says how
        await process.stdin.drain()
    line = await process.stdout.readline()
    answer: dict[str, str] = json.loads(line) if line.endswith(b"\n") else {}
    return answer


async def _stop(process: Process) -> None:
    assert process.stdin is not None
    for end in (process.terminate, process.kill):
        with suppress(ProcessLookupError):
            end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT):
                await process.wait()
                break
    process.stdin.close()
    with suppress(ConnectionError):
        await process.stdin.wait_closed()


def _reason(model: Path, error: str) -> str:
    """Return why a model cannot be loaded; llama.cpp says the same of all files."""
    with suppress(OSError), model.open("rb") as file:
        if file.read(4) != b"GGUF":
            return "it is no GGUF file"
    if error.startswith("RuntimeError"):
        return "llama.cpp cannot read it; it may be cut off, or of a newer kind"
    return error.rstrip(".")
