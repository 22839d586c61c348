"""The program of `docs/embedded-model.md`, as a reader would run it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llamakeep.providers.local.weights import find_weights, has_engine
from tests.acceptance.processes import Runner
from tests.providers.asking import settings
from tests.sdk.clients import history
from tests.sdk.site import Process
from tests.waiting import LONG_ENOUGH

PAGE = Path(__file__).parents[2] / "docs" / "embedded-model.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def embedded(runner: Runner, tmp_path: Path) -> Iterator[Process]:
    if not has_engine() or find_weights(settings()) is None:
        pytest.skip("The embedded model is not installed; `make run` installs it.")
    site = Process(runner, tmp_path, local_threads=1)
    yield site
    site.close()


def test_the_embedded_model_calls_fills_in_a_form_and_makes_vectors(
    embedded: Process, tmp_path: Path
) -> None:
    [program] = PROGRAM.findall(PAGE.read_text())
    file = tmp_path / "program.py"
    file.write_text(program.replace("http://localhost:8000", embedded.origin))

    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LONG_ENOUGH,
    )

    assert done.returncode == 0, done.stderr
    first, *_, json, vectors = done.stdout.splitlines()
    assert first.startswith("get_weather {'city': ")
    assert json.startswith("{'is_cold': ")
    assert vectors == "576 True"
    kept = history(embedded, limit=4)
    assert [run["model"] for run in kept] == 4 * ["local:smollm2-135m-instruct"]
    assert kept[0]["prompt"] == "Snow is falling.\nIt is winter.\nThe invoice is due."
