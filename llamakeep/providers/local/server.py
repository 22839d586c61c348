"""
The child process that holds the embedded model; started by `local_process`.

Standard input: one line of JSON (`LocalServerOrders`), then nothing until the parent
wants the child to end, or has ended itself, by whatever signal. Standard output: one
line of JSON with the `address` of llama.cpp's own server, or with the `error`.

It runs as a script and imports nothing of llamakeep, so that it starts fast.
"""

import json
import os
import sys
import threading
from typing import IO, TypedDict


class LocalServerOrders(TypedDict):
    """What the parent wants; the key is here because others can read arguments."""

    model: str
    alias: str
    api_key: str
    threads: int
    slots: int
    context: int
    max_tokens: int


def main() -> None:
    """Serve the model on a free port of the loopback interface until input ends."""
    # llama.cpp writes to standard output as it likes: give it a copy that goes nowhere.
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    orders: LocalServerOrders = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,)).start()
    try:
        answer = {"address": _serve(orders)}
    except Exception as exc:  # noqa: BLE001 - whatever it is, the parent has to know
        answer = {"error": f"{type(exc).__name__}: {exc}"[:300]}
    print(json.dumps(answer), file=report, flush=True)
    if "error" in answer:
        os._exit(1)


def _end_with_parent(pipe: IO[bytes]) -> None:
    pipe.read()
    os._exit(0)  # at once: there is nothing to save, and llama.cpp may be computing


def _serve(orders: LocalServerOrders) -> str:
    import xllamacpp  # noqa: PLC0415 - slow, and may not be there: the caller reports it

    params = xllamacpp.CommonParams()
    params.model.path = orders["model"]
    params.model_alias = {orders["alias"]}  # it would tell the file's path instead
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [orders["api_key"]]
    params.ui = False
    params.endpoint_slots = False  # shows prompts
    params.verbosity = -1
    params.n_parallel = orders["slots"]
    params.n_ctx = orders["slots"] * orders["context"]  # it divides by the slots
    params.n_predict = orders["max_tokens"]
    params.cache_ram_mib = 0  # up to 8 GiB otherwise
    params.embedding = True  # beside answers
    if not _has_pooling(orders["model"]):
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = orders["threads"]
        cpu.poll = 0  # do not burn what the server needs
    # What keeps a very small model from going round in circles.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    server = xllamacpp.Server(params)
    _keep_alive.append(server)
    return str(server.listening_address)


def _has_pooling(model: str) -> bool:
    """Return whether a model says how it makes one vector of those of its tokens."""
    with open(model, "rb") as file:  # noqa: PTH123 - for a faster start
        return b".pooling_type" in file.read(_METADATA)


_METADATA = 1024 * 1024
"""Bytes at the beginning of a file with weights that have its short metadata."""
_keep_alive: list[object] = []  # a server that is collected stops

if __name__ == "__main__":
    main()
