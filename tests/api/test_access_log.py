"""Request ids, and the line that each request has in the log."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from llamakeep.app import create_app
from llamakeep.errors import ProviderError
from llamakeep.logs.access import AccessLog
from llamakeep.logs.context import Served, new_request_id
from llamakeep.logs.formats import JsonFormatter, LineFormatter
from llamakeep.settings import Settings
from tests.api.serving import PROMPT, Client
from tests.fakes import ScriptedProvider
from tests.waiting import until

NEW_ID = re.compile("req_[0-9a-f]{26}")


class Lines(io.StringIO):
    """What was written, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.log: AccessLog | None = None
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)

    def all(self) -> list[str]:
        if self.log is not None:
            self.log.flush()
        return self.getvalue().splitlines()

    def last(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.all()[-1])
        return found


@asynccontextmanager
async def _serving(
    settings: Settings, provider: ScriptedProvider, log: AccessLog
) -> AsyncIterator[Client]:
    app = create_app(settings, providers=[provider], access_log=log)
    async with (
        app.router.lifespan_context(app),
        Client(app, address="127.0.0.1", raise_bugs=False) as client,
    ):
        yield client


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
async def client(
    settings: Settings, provider: ScriptedProvider, lines: Lines
) -> AsyncIterator[Client]:
    lines.log = AccessLog(lines, log_format="json")
    async with _serving(settings, provider, lines.log) as client:
        yield client


async def test_a_prompt_is_a_line_with_its_run_and_user_and_no_word_of_it(
    client: Client, lines: Lines
) -> None:
    answered = await client.post("/prompt/", json=PROMPT)

    alice = await client.alice()
    line = lines.last()
    assert line.pop("time", "")
    assert line.pop("ms", -1) != -1
    assert line == {
        "level": "INFO",
        "logger": "llamakeep.access",
        "message": "POST /prompt/ 200",
        "method": "POST",
        "route": "/prompt/",
        "status": 200,
        "bytes": len(answered.content),
        "complete": True,
        "user_id": alice.id,
        "run_id": answered.json()["id"],
        "request_id": answered.headers["x-request-id"],
    }


async def test_a_stream_is_a_line_at_its_end_with_all_that_was_sent(
    client: Client, lines: Lines
) -> None:
    body = PROMPT | {"stream": True}
    async with client.stream("POST", "/prompt/", json=body) as response:
        content = await response.aread()

    line = lines.last()
    assert (line["bytes"], line["complete"]) == (len(content), True)
    assert str(line["run_id"]) in content.decode()


async def test_a_path_is_logged_by_its_route_and_never_as_it_was_sent(
    client: Client, lines: Lines
) -> None:
    await client.get("/history/run_01m8j5pb5fn1hj315bgjjkd06n?q=hunter2")
    await client.get("/hunter2/hunter2", headers={"User-Agent": "hunter2"})
    await client.put("/history/hunter2")
    await client.head("/history/hunter2")

    said = [json.loads(line) for line in lines.all()]
    assert "hunter2" not in lines.getvalue()
    assert [(one["method"], one["route"], one["status"]) for one in said] == [
        ("GET", "/history/{run_id}", 422),
        ("GET", None, 404),
        ("PUT", "/history/{run_id}", 405),
        ("HEAD", "/history/{run_id}", 404),
    ]


async def test_a_repeated_request_is_logged_with_the_run_of_the_first(
    client: Client, lines: Lines
) -> None:
    key = {"Idempotency-Key": "once"}
    first = await client.post("/prompt/", json=PROMPT, headers=key)
    await client.post("/prompt/", json=PROMPT, headers=key)

    assert lines.last()["run_id"] == first.json()["id"]


@pytest.mark.parametrize(
    "path", ["/prompt/", "/v1/chat/completions", "/v1/messages", "/nowhere", "/docs"]
)
async def test_an_id_that_a_client_chose_comes_back(client: Client, path: str) -> None:
    chosen = {"X-Request-ID": "trace/1-67891233:abc=", "anthropic-version": "1"}

    answered = await client.get(path, headers=chosen)

    assert answered.headers.get_list("x-request-id") == ["trace/1-67891233:abc="]


@pytest.mark.parametrize(
    "chosen",
    ["", "a" * 129, "two words", 'quo"te', "\xe4", "lk_0123456789abcdefghijklmnop"],
)
async def test_an_id_that_is_long_or_odd_or_a_secret_is_replaced(
    client: Client, lines: Lines, chosen: str
) -> None:
    headers = {b"X-Request-ID": chosen.encode("latin-1")}
    answered = await client.get("/about", headers=headers)

    assert NEW_ID.fullmatch(answered.headers["x-request-id"])
    assert lines.last()["request_id"] == answered.headers["x-request-id"]


async def test_anthropics_clients_get_the_same_id_by_its_other_name(
    client: Client,
) -> None:
    refused = await client.post("/v1/messages", json={})

    assert refused.headers["request-id"] == refused.headers["x-request-id"]
    assert refused.json()["request_id"] == refused.headers["x-request-id"]


async def test_probes_have_a_line_only_when_they_fail(
    client: Client, lines: Lines
) -> None:
    await client.get("/healthz")
    assert lines.all() == []

    client.engine.stop_accepting()
    await client.get("/readyz")

    assert lines.last()["status"] == 503


async def test_a_bug_is_a_500_whose_id_is_in_the_log(
    client: Client, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(client.engine, "answer", broken)
    answered = await client.post("/prompt/", json=PROMPT)

    line = lines.last()
    assert (answered.status_code, line["status"]) == (500, 500)
    assert line["request_id"] == answered.headers["x-request-id"]


async def test_a_line_that_cannot_be_written_fails_no_request(
    settings: Settings, provider: ScriptedProvider
) -> None:
    closed = io.StringIO()
    closed.close()

    async with _serving(settings, provider, AccessLog(closed)) as client:
        answered = await client.get("/about")

    assert answered.status_code == 200


async def test_a_line_for_readers_says_the_same(
    settings: Settings, provider: ScriptedProvider, lines: Lines
) -> None:
    log = AccessLog(lines, with_process=True)
    async with _serving(settings, provider, log) as client:
        answered = await client.post("/prompt/", json=PROMPT)
        alice = await client.alice()

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[\d+\] INFO llamakeep\.access: "
        rf"POST /prompt/ 200 ms=\d+\.\d bytes={len(answered.content)} user={alice.id} "
        rf"run={answered.json()['id']} request={NEW_ID.pattern}",
        lines.all()[0],
    )


async def test_lines_are_written_together_as_a_pipe_takes_them() -> None:
    lines = Lines()
    log = AccessLog(lines)
    served = Served()
    served.request_id = new_request_id()

    for _ in range(100):
        log.write(served, method="GET", route="/about", status=200, size=57)
    log.flush()

    assert len(lines.all()) == 100
    assert len(lines.writes) < 5
    assert all(len(each) <= 4096 and each.endswith("\n") for each in lines.writes)


async def test_a_line_is_written_soon_though_no_other_follows() -> None:
    lines = Lines()
    log = AccessLog(lines)

    for _ in range(2):
        log.write(Served(), method="GET", route="/about", status=200, size=57)
        written = len(lines.writes)
        await until(lambda: len(lines.writes) > written)  # noqa: B023 - at once


async def test_a_line_is_written_before_the_server_has_stopped(
    settings: Settings, provider: ScriptedProvider, lines: Lines
) -> None:
    async with _serving(settings, provider, AccessLog(lines)) as client:
        await client.get("/about")
        await client.get("/history/")

    assert [" 200 " in line for line in lines.all()] == [True, True]


async def test_a_run_that_fails_is_logged_once_with_the_id_of_its_request(
    settings: Settings, lines: Lines
) -> None:
    error = ProviderError("It failed.")
    error.__cause__ = ConnectionResetError("by its peer")
    provider = ScriptedProvider([error])
    records = Lines()
    handlers = [logging.StreamHandler(records) for _ in range(2)]
    handlers[0].setFormatter(LineFormatter())
    handlers[1].setFormatter(JsonFormatter())
    logger = logging.getLogger("llamakeep")
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        async with _serving(settings, provider, AccessLog(lines)) as client:
            answered = await client.post("/prompt/", json=PROMPT)
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)

    own_id, run_id = answered.headers["x-request-id"], answered.json()["run_id"]
    line, record = records.all()
    assert f" WARNING llamakeep.engine.closing: run {run_id} failed: " in line
    assert line.endswith(f" request={own_id}")
    facts = json.loads(record)
    assert (facts["request_id"], facts["level"]) == (own_id, "WARNING")
    assert "because of" in facts["error"]
    assert "by its peer" in facts["error"]
