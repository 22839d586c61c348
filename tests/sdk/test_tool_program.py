"""The tool loop of `docs/openai.md`, as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.sdk.site import ToolSite
from tests.waiting import LONG_ENOUGH

PAGE = Path(__file__).parents[2] / "docs" / "openai.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_program_of_the_page_calls_its_function(
    tool_site: ToolSite, tmp_path: Path
) -> None:
    [program] = [one for one in PROGRAM.findall(PAGE.read_text()) if "tools=" in one]
    file = tmp_path / "program.py"
    file.write_text(program.replace("http://localhost:8000", tool_site.origin))

    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LONG_ENOUGH,
    )

    assert (done.stdout, done.returncode) == ("It is -3 and 7.\n", 0), done.stderr
    assert len(tool_site.upstream.asked) == 2
