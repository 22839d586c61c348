"""
What the programs share: a question, a tool, a form, and how scenarios are run.

A program reads the names of scenarios, one a line, and writes for each a line of JSON:
what its client was told, or a traceback. With `killed` before the name, each call of
the tool writes a line, and waits for one: then the server is there again.
"""

import asyncio
import inspect
import json
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

MODEL = "caller"
PROMPT = "Is Oslo colder than Bergen?"
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNg"
    "AAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
WEATHER = {"Oslo": "-3", "Bergen": "7"}
is_killed = threading.Event()
one_at_a_time = threading.Lock()


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    wait_if_killed()
    return WEATHER[city]


def wait_if_killed() -> None:
    """Wait until the server was killed and is there again, if it is to be."""
    if is_killed.is_set():
        with one_at_a_time:  # some clients call tools in threads
            print("called", flush=True)
            sys.stdin.readline()


def serve(*scenarios: Callable[[], Any]) -> None:
    """Run scenarios, functions and coroutine functions, until there are no more."""
    known = {one.__name__: one for one in scenarios}
    # Clients keep connections, which belong to one event loop.
    with asyncio.Runner() as runner:
        while line := sys.stdin.readline():
            killed, _, name = line.strip().rpartition(" ")
            if killed:
                is_killed.set()
            try:
                said = known[name]()
                told = {"said": runner.run(said) if inspect.iscoroutine(said) else said}
            except Exception:  # noqa: BLE001 - the test shows it
                told = {"failed": traceback.format_exc()}
            is_killed.clear()
            print(json.dumps(told, default=repr), flush=True)
