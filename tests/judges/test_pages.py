"""The programs of `docs/clients/` whose clients have environments of their own."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.judges.judge import environment
from tests.judges.model import ANSWER
from tests.sdk.programs import programs_of
from tests.sdk.site import ToolSite
from tests.sdk.test_client_pages import JUDGED, PAGES
from tests.waiting import LONG_ENOUGH

SAID = {
    "instructor": "name='Ada' age=36\n",
    "llamaindex": f"{ANSWER}\n",
    "openai-agents": f"Weather says: {ANSWER}\nIt is 7.\n",
}
SET = (
    "export OPENAI_BASE_URL=http://127.0.0.1:8000/v1\n"
    "export OPENAI_API_KEY=token_alice\n"
)


@pytest.mark.parametrize("page", JUDGED)
def test_the_program_of_a_page_works(
    python: Callable[[str], str], judged_site: ToolSite, tmp_path: Path, page: str
) -> None:
    assert SET in (PAGES / f"{page}.md").read_text()
    _, program = programs_of(f"clients/{page}")[-1]
    (tmp_path / "program.py").write_text(program)
    place = "judge-instructor" if page == "instructor" else "judges"

    done = subprocess.run(
        [python(place), "program.py"],
        cwd=tmp_path,
        env=environment(judged_site, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LONG_ENOUGH,
    )

    assert (done.stdout, done.returncode) == (SAID[page], 0), done.stderr
