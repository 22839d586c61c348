"""The wheel, the sdist and the SBOM."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import httpx2
import pytest

from llamakeep import __version__
from tests.acceptance.processes import outside_variables
from tests.release.tools import ROOT, run

URL = "https://git.example.com/llamakeep"
RELATIVE = re.compile(r"\]\((?!https?://)[^)]*\)|(?:src|srcset)=\"(?!https?://)[^\"]*")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make dist` has written, or one that has the packages only."""
    if written := os.environ.get("LLAMAKEEP_TEST_DIST"):
        return ROOT / written
    folder = tmp_path_factory.mktemp("dist")
    built = run("python", "-m", "hatchling", "build", "--directory", folder)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"llamakeep-{__version__}-py3-none-any.whl")


def files(*folders: str) -> set[str]:
    """Return the paths of the repository's files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        [*command, *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.splitlines())


def test_the_wheel_has_all_files_of_both_packages_and_no_others(
    wheel: zipfile.ZipFile,
) -> None:
    has = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert has == files("llamakeep", "replicate_emulator")
    assert f"llamakeep-{__version__}.dist-info/licenses/LICENSE" in wheel.namelist()


def test_the_sdist_has_all_files_of_the_repository(dist: Path) -> None:
    top = f"llamakeep-{__version__}/"
    with tarfile.open(dist / f"llamakeep-{__version__}.tar.gz") as sdist:
        has = {each.name.removeprefix(top) for each in sdist if each.isfile()}

    assert has - {"PKG-INFO"} == files()


def test_the_long_description_has_no_link_that_leads_nowhere(
    wheel: zipfile.ZipFile,
) -> None:
    name = f"llamakeep-{__version__}.dist-info/METADATA"
    metadata = message_from_bytes(wheel.read(name))
    text = str(metadata.get_payload())

    assert text.startswith("# llamakeep")
    assert RELATIVE.findall(text) == []


def test_links_lead_to_this_version_where_the_repository_is_published() -> None:
    metadata = run("python", "-m", "hatchling", "metadata", REPOSITORY_URL=f"{URL}/")
    there = json.loads(metadata.stdout)

    text = there["readme"]["text"]
    assert there["urls"]["Repository"] == URL
    assert f"]({URL}/blob/v{__version__}/docs/durability.md)" in text
    assert f"]({URL}/blob/v{__version__}/README.md#three-calls)" in text
    assert f'src="{URL}/raw/v{__version__}/docs/images/page-light.png"' in text
    assert RELATIVE.findall(text) == []


def test_the_wheel_alone_serves_the_page_and_the_api_without_any_settings(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    wheel.extractall(site)
    empty.mkdir()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "llamakeep", "serve", "--port", "0"],
        cwd=empty,
        env=outside_variables() | {"PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+:\d+", server.stdout.readline())
            assert found is not None
            with httpx2.Client(base_url=found[0]) as client:
                page = client.get("/", headers={"Accept": "text/html"})
                scripts = re.findall(r'src="([^"]+)"', page.text)
                loaded = {client.get(script).status_code for script in scripts}
                history = client.get("/history/")
        finally:
            server.terminate()

    assert page.headers["content-type"].startswith("text/html")
    assert loaded == {200}
    assert history.status_code == 401
    assert server.returncode == 0
    assert (empty / "llamakeep.db").exists()


def test_the_sbom_has_every_package_that_is_locked_with_its_hashes(dist: Path) -> None:
    locked = ROOT / "requirements.txt"
    sbom = dist / "llamakeep.cdx.json"
    if not sbom.exists():
        written = run(
            *("cyclonedx-py", "requirements", "--pyproject", ROOT / "pyproject.toml"),
            *("--no-validate", "--output-file", sbom, locked),  # which takes seconds
        )
        assert written.returncode == 0, written.stderr

    found = json.loads(sbom.read_text())

    wanted = re.findall(r"^([\w.-]+)==", locked.read_text(), re.MULTILINE)
    assert found["metadata"]["component"]["name"] == "llamakeep"
    assert {each["name"] for each in found["components"]} == set(wanted)
    hashes = [each["externalReferences"][0]["hashes"] for each in found["components"]]
    assert all(hashes)
