import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from llamakeep.providers.local.provider import LocalProvider
from llamakeep.providers.openai.provider import OpenAIProvider
from replicate_emulator import EmulatorSettings, open_emulator
from replicate_emulator.__main__ import new_provider
from tests.emulator.driver import Driver, events
from tests.waiting import LONG_ENOUGH


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def emulator_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Driver]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "replicate_emulator", "--port", str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    driver = Driver(f"http://127.0.0.1:{port}")
    try:
        wait_until_it_answers(driver)
        yield process, driver
    finally:
        driver.close()
        process.kill()
        process.communicate()


def wait_until_it_answers(driver: Driver) -> None:
    give_up = time.monotonic() + LONG_ENOUGH
    while True:
        try:
            driver.http.get("/_emulator/requests")
        except httpx2.ConnectError:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        else:
            return


@pytest.mark.slow
def test_the_emulator_is_a_process_that_files_can_prepare(tmp_path: Path) -> None:
    settings, rules = tmp_path / "settings.json", tmp_path / "rules.json"
    settings.write_text('{"start_delay": 0, "first_delay": 0, "gap": 0}')
    rules.write_text('[{"deltas": ["Hi", "!"], "times": null}]')

    with emulator_process(
        "--settings", str(settings), "--rules", str(rules)
    ) as running:
        process, driver = running
        output = driver.finished("Hello")["output"]
        driver.reset()
        again = driver.finished("Hello")["output"]
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LONG_ENOUGH)

    assert output == again == ["Hi", "!"]
    assert said == f"Replicate's API is at {driver.origin}/v1\n"


def test_echoes_the_embedded_model_and_other_servers_can_answer() -> None:
    answering = [new_provider(each) for each in ("echo", "local", "http://[::1]:9/v1")]

    kinds = [type(None), LocalProvider, OpenAIProvider]
    assert [type(each) for each in answering] == kinds


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_the_emulator_stops_although_somebody_is_waiting(asked: int) -> None:
    with emulator_process() as (process, driver):
        driver.set(gap=3600)
        created = driver.create("one two")
        with driver.open_stream(created) as answer:
            process.send_signal(asked)
            heard = answer.read().decode()
            process.communicate(timeout=LONG_ENOUGH)

    assert "done" not in [name for name, _ in events(heard)]


def test_an_emulator_in_a_test_ends_with_it() -> None:
    with open_emulator(EmulatorSettings(start_delay=60)) as origin:
        driver = Driver(origin)
        driver.create()

    with pytest.raises(httpx2.ConnectError):
        driver.http.get("/")
    driver.close()
