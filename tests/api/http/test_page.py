"""The web page: its shell, its files, and their headers."""

import asyncio
import gzip
import os
import posixpath
import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from llamakeep.api.page.files import FOLDER, MEDIA_TYPES, Files
from llamakeep.api.page.routes import PAGES, POLICY
from llamakeep.domain.rates import Rate
from llamakeep.settings import Settings
from tests.api.serving import Client, connect
from tests.fakes import ScriptedProvider

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ICON = (FOLDER / "icon.svg").read_bytes()
VIEWS = [f"views/{path.name}" for path in (FOLDER / "views").iterdir()]
PATHS = ["/", *(f"/{name}" for name in PAGES), "/c/conv_1", "/manage/users/", "/r/"]


async def base_of(client: Client, **headers: str) -> str:
    """Return where the page's files are."""
    shell = await client.get("/", headers=HTML | headers)
    found = re.search(r'href="(page/[0-9a-f]{16})/', shell.text)
    assert found is not None
    return f"/{found[1]}"


@pytest.mark.parametrize("path", PATHS)
async def test_browsers_get_the_same_shell_at_each_path_of_a_page(
    shared_client: Client, path: str
) -> None:
    shell = await shared_client.get("/", headers=HTML)

    response = await shared_client.get(path, headers=HTML)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == shell.content
    assert '<base href="/">' in response.text
    assert len(gzip.compress(response.content)) < 2048


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0", ""])
@pytest.mark.parametrize("path", PATHS)
async def test_programs_find_nothing_at_the_path_of_a_page(
    shared_client: Client, path: str, accept: str
) -> None:
    response = await shared_client.get(path, headers={"Accept": accept})

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == f"There is nothing at {path}. See /docs."


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_sent_to_a_page(
    shared_client: Client, method: str
) -> None:
    response = await shared_client.request(method, "/find", headers=HTML)

    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/nowhere", "/findings", "/page", "/page/", "/C"])
async def test_browsers_get_a_problem_at_any_other_path(
    shared_client: Client, path: str
) -> None:
    response = await shared_client.get(path, headers=HTML)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_no_page_has_a_path_that_begins_like_one_of_the_api(
    shared_client: Client,
) -> None:
    def first(path: str) -> str:
        return path.split("/")[1]

    others = {
        first(route.path)
        for route in shared_client.app.router.routes
        if isinstance(route, APIRoute)
    }

    assert {"prompt", "history", "docs"} < others
    assert not others & {*PAGES, "", "page"}


async def test_a_shell_may_run_and_load_the_servers_own_files_only(
    shared_client: Client,
) -> None:
    response = await shared_client.get("/", headers=HTML)

    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["vary"] == "Accept, Accept-Encoding"
    assert "'unsafe" not in POLICY
    assert not re.search(r"https?:|//|data:|style=|<script>|<style", response.text)


@pytest.mark.parametrize(
    ("path", "modules"),
    [
        ("/", ["main.js", "views/conversation.js"]),
        ("/docs", ["docs/main.js"]),
    ],
)
async def test_a_shell_names_all_modules_that_it_starts_with(
    shared_client: Client, path: str, modules: list[str]
) -> None:
    base = await base_of(shared_client)

    response = await shared_client.get(path, headers=HTML)

    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', response.text)
    assert named == [f"{base[1:]}/{name}" for name in modules]
    for name in modules:
        text = (await shared_client.get(f"{base}/{name}")).text
        assert imports_of(name, text) <= {*modules}


async def test_what_a_page_starts_with_is_small(shared_client: Client) -> None:
    shell = await shared_client.get("/", headers=HTML)
    sizes = {"shell": int(shell.headers["content-length"])}

    for path in re.findall(r'(?:href|src)="(page/[^"]+)"', shell.text):
        response = await shared_client.get(f"/{path}")
        sizes[path] = int(response.headers["content-length"])

    assert len(sizes) <= 8, sizes
    assert sum(sizes.values()) <= 45_000, sizes
    assert next(size for path, size in sizes.items() if path.endswith(".css")) <= 8000


def imports_of(name: str, text: str, words: str = "from ") -> set[str]:
    """Return the paths of what a module imports by these words."""
    folder = posixpath.dirname(name)
    return {
        posixpath.normpath(posixpath.join(folder, path))
        for path in re.findall(rf'\b(?:{words})"([^"]+)"', text)
    }


async def test_each_file_is_sent_as_what_it_is_and_kept_for_ever(
    shared_client: Client,
) -> None:
    base = await base_of(shared_client)
    names = ["main.js", "docs/main.js", "style/index.css", "style/docs.css", "icon.svg"]

    for name in (waiting := [*names, *VIEWS]):
        response = await shared_client.get(f"{base}/{name}")
        assert response.status_code == 200, name
        assert response.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["content-security-policy"].startswith("default-src 'n")
        imported = imports_of(name, response.text, r"from |import\(")
        waiting += imported - {*waiting}


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "index.html",
        "README.md",
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "",
    ],
)
async def test_nothing_else_of_the_server_is_sent(
    shared_client: Client, name: str
) -> None:
    base = await base_of(shared_client)

    response = await shared_client.get(f"{base}/{name}")

    assert response.status_code == 404


async def test_a_file_of_another_version_is_not_found(shared_client: Client) -> None:
    response = await shared_client.get(f"/page/{'0' * 16}/icon.svg")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("accept", "is_packed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
        ("xgzip", False),
    ],
)
async def test_what_is_sent_is_packed_where_the_client_can_unpack_it(
    shared_client: Client, accept: str, *, is_packed: bool
) -> None:
    base = await base_of(shared_client)
    headers = HTML | {"Accept-Encoding": accept}

    async with shared_client.stream(
        "GET", f"{base}/icon.svg", headers=headers
    ) as response:
        sent = b"".join([piece async for piece in response.aiter_raw()])

    assert (gzip.decompress(sent) if is_packed else sent) == ICON
    assert response.headers.get("content-encoding") == ("gzip" if is_packed else None)
    assert response.headers["vary"] == "Accept-Encoding"
    assert int(response.headers["content-length"]) == len(sent)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("path", ["/", "icon.svg"])
async def test_what_a_browser_has_is_not_sent_again(
    shared_client: Client, path: str, encoding: str
) -> None:
    base = await base_of(shared_client)
    url = path if path == "/" else f"{base}/{path}"
    headers = HTML | {"Accept-Encoding": encoding}
    first = await shared_client.get(url, headers=headers)
    etag = first.headers["etag"]

    same = [
        await shared_client.get(url, headers=headers | {"If-None-Match": known})
        for known in (etag, f'W/{etag}, "other"')
    ]
    other = await shared_client.get(url, headers=headers | {"If-None-Match": '"x"'})

    for response in same:
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert response.headers["cache-control"] == first.headers["cache-control"]
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/", "/usage", "icon.svg"])
async def test_a_page_answers_head_like_get(shared_client: Client, path: str) -> None:
    url = path if path.startswith("/") else f"{await base_of(shared_client)}/{path}"
    got = await shared_client.get(url, headers=HTML)

    head = await shared_client.head(url, headers=HTML)
    options = await shared_client.options(url, headers=HTML)

    assert (head.status_code, head.content) == (200, b"")
    for each in (head, got):
        del each.headers["x-request-id"]
    assert head.headers == got.headers
    assert options.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_page_needs_no_login(shared_client: Client) -> None:
    response = await shared_client.get("/", headers=HTML | {"Authorization": "x"})

    assert response.status_code == 200


async def test_behind_a_prefix_the_shell_knows_its_addresses(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"root_path": "/llm"})
    async with connect(settings, ScriptedProvider()) as client:
        stripped = await client.get("/", headers=HTML)
        whole = await client.get("/llm/c/conv_1", headers=HTML)
        file = await client.get(f"/llm{await base_of(client)}/icon.svg")

    assert '<base href="/llm/">' in stripped.text
    assert whole.content == stripped.content
    assert file.status_code == 200


async def test_files_of_the_page_do_not_count_against_request_rates(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"address_rate_limit": (Rate(2, 3600),)})
    async with connect(settings, ScriptedProvider()) as client:
        base = await base_of(client)
        answers = [await client.get(f"{base}/icon.svg") for _ in range(4)]
        shells = [await client.get("/", headers=HTML) for _ in range(2)]

    assert [each.status_code for each in answers] == [200] * 4
    assert [each.status_code for each in shells] == [200, 429]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    modules = {
        "core/dom.js": "export const one = 1;\n",
        "docs/main.js": "",
        "main.js": 'import { one } from "./core/dom.js";\n',
        "text/growing.js": "",
        "views/conversation.js": "",
    }
    for name, text in modules.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "index.html").write_text('<base href="{base}"><a href="{files}/a.js">')
    return tmp_path


def change(folder: Path) -> None:
    changed = folder / "core" / "dom.js"
    changed.write_text("export const one = 2;\n")
    os.utime(changed, ns=(1, 1))


async def test_files_are_read_once(folder: Path) -> None:
    files = Files(folder)
    first = await files.edition()
    await asyncio.to_thread(change, folder)

    again = await files.edition()

    assert again is first


async def test_with_reload_a_change_counts_at_once(folder: Path) -> None:
    files = Files(folder, reloads=True)
    first = await files.edition()
    same = await files.edition()
    await asyncio.to_thread(change, folder)

    second = await files.edition()

    assert same is first
    assert second.digest != first.digest
    assert b"const one = 2;" in second.files["main.js"].content


async def test_a_page_of_a_hostile_prefix_stays_a_page(folder: Path) -> None:
    edition = await Files(folder).edition()

    page = edition.page("index.html", '/"><script>')

    assert page.content.startswith(b'<base href="/&quot;&gt;&lt;script&gt;/">')
