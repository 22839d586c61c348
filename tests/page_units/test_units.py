"""Tests of the page's modules that need no browser: deno runs them."""

import re
import subprocess

import pytest

from tests.page_units.deno import ROOT, deno_command, deno_environment

SUMMARY = re.compile(r"^ok \| ([1-9]\d*) passed.* \| 0 failed", re.MULTILINE)

# deno is a program.
pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)  # all of them, among them some that only compute
def test_the_modules_of_the_page_pass_their_own_tests() -> None:
    ran = subprocess.run(
        deno_command("test", "--no-check", "--allow-read=llamakeep/page"),
        cwd=ROOT,
        env=deno_environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert SUMMARY.search(ran.stdout), ran.stdout + ran.stderr
    assert ran.returncode == 0
