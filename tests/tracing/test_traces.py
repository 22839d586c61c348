"""What is in traces, how they begin, and what they never hold up."""

import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx2
import pytest
from pydantic import HttpUrl

from llamakeep.domain.ids import number_of
from llamakeep.errors import ProviderUnavailable
from llamakeep.settings import Settings
from llamakeep.tracing import open_tracer, tracer
from tests.cli.serving import served
from tests.fakes import ScriptedProvider
from tests.providers.stub_server import Then, running_stub
from tests.tracing.collecting import Collector, collecting

httpx2.AsyncHTTPTransport(verify=False)  # the first one imports, which blocks
PROMPT = {"prompt": "What is FastAPI?"}
CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"{CLIENTS}-01", f"{CLIENTS}-00"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


def traced(settings: Settings, collector: Collector, **more: object) -> Settings:
    changes = {"otlp_endpoint": HttpUrl(collector.url), "demo": True, **more}
    return settings.model_copy(update=changes)


async def ask(url: str, **headers: str) -> httpx2.Response:
    """Send a prompt as alice."""
    # Nothing here is encrypted, and loading certificates blocks.
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        login = {"Authorization": "Bearer token_alice"}
        return await client.post(f"{url}/prompt/", json=PROMPT, headers=login | headers)


async def test_a_request_its_run_and_the_call_of_its_provider_are_one_trace(
    settings: Settings, collector: Collector
) -> None:
    async with served(traced(settings, collector), ScriptedProvider()) as server:
        answered = await ask(server.url)

    [request] = collector.spans("POST /prompt/")
    [run] = collector.spans("run")
    [call] = collector.spans("chat parrot")
    run_id = answered.json()["id"]
    assert (request.kind, run.kind, call.kind) == ("server", "internal", "client")
    assert (request.parent_id, run.parent_id, call.parent_id) == (
        "",
        request.id,
        run.id,
    )
    assert {each.trace_id for each in (request, run, call)} == {
        f"{number_of(run_id):032x}"
    }
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/prompt/",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "llamakeep.run.id": run_id,
        "llamakeep.request.id": answered.headers["x-request-id"],
    }
    assert run.attributes["llamakeep.run.status"] == "succeeded"
    call_took = dict(call.attributes)
    assert 0 < call_took.pop("gen_ai.response.time_to_first_chunk") <= call.seconds
    assert call_took == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "parrot",
        "gen_ai.response.model": "parrot",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "llamakeep.run.id": run_id,
    }
    assert call.resource["service.name"] == "llamakeep"


async def test_a_trace_has_no_text_no_name_and_no_secret(
    settings: Settings, collector: Collector
) -> None:
    provider = ScriptedProvider(["hunter2"])
    async with served(traced(settings, collector), provider) as server:
        await ask(f"{server.url}", **{"User-Agent": "hunter2", "Cookie": "a=hunter2"})
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            await client.get(f"{server.url}/hunter2?q=hunter2")

    assert len(collector.spans()) == 4
    for private in (b"hunter2", b"FastAPI", b"alice"):
        assert private not in collector.raw


async def test_a_failure_is_an_error_of_each_span_with_its_code(
    settings: Settings, collector: Collector
) -> None:
    provider = ScriptedProvider(refusal=ProviderUnavailable())
    async with served(traced(settings, collector), provider) as server:
        await ask(server.url)

    request, run, call = (
        collector.spans(name)[0] for name in ("POST /prompt/", "run", "chat parrot")
    )
    assert request.is_failed
    assert run.is_failed
    assert call.is_failed
    assert request.attributes["error.type"] == "503"
    assert run.attributes["error.type"] == "provider-unavailable"
    assert call.attributes["error.type"] == "provider-unavailable"


async def test_any_client_may_name_a_trace_which_becomes_a_link(
    settings: Settings, collector: Collector
) -> None:
    async with served(traced(settings, collector), ScriptedProvider()) as server:
        answered = await ask(server.url, traceparent=NOT_SAMPLED)

    [request] = collector.spans("POST /prompt/")
    assert request.trace_id == f"{number_of(answered.json()['id']):032x}"
    assert request.links == (("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),)


async def test_a_client_that_is_trusted_continues_its_trace_and_decides_on_sampling(
    settings: Settings, collector: Collector
) -> None:
    networks = [ip_network("127.0.0.0/8")]
    trusting = traced(settings, collector, trace_networks=networks)
    async with served(trusting, ScriptedProvider()) as server:
        await ask(server.url, traceparent=NOT_SAMPLED)
        await ask(server.url, traceparent=SAMPLED)

    [request] = collector.spans("POST /prompt/")
    assert request.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert request.parent_id == "b7ad6b7169203331"
    assert {each.trace_id for each in collector.spans()} == {request.trace_id}


async def test_a_client_that_is_not_trusted_cannot_have_itself_sampled(
    settings: Settings,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with served(traced(settings, collector), ScriptedProvider()) as server:
        await ask(server.url, traceparent=SAMPLED)

    assert collector.spans() == []


@pytest.mark.parametrize(
    "traceparent",
    [
        SAMPLED + "-" * 30_000,
        "\xff\xfe\x80",
        SAMPLED.replace("00-", "ff-"),
        SAMPLED.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        "",
    ],
    ids=["long", "odd bytes", "version", "zero", "empty"],
)
async def test_what_names_no_span_is_ignored_and_clients_cannot_fill_the_log_with_it(
    settings: Settings,
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    traceparent: str,
) -> None:
    tracer = open_tracer(traced(settings, collector), version="1")
    assert tracer is not None

    assert tracer.read(traceparent) is None

    await tracer.close()
    assert caplog.messages == []


async def test_a_collector_that_redirects_gets_nothing_and_the_log_says_so(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    monkeypatch.setattr(tracer._SELDOM, "_silent_until", 0.0)
    async with running_stub(head) as stub:
        sender = open_tracer(traced(settings, Collector(stub)), version="1")
        assert sender is not None
        span = sender.begin_trace()
        sender.end(span, "span", {}, kind="server", is_failed=False)
        await sender.close()

    assert [each.path for each in stub.heard] == ["/v1/traces"]
    assert "Failed to export" in caplog.text
    assert "redirects" in caplog.text


async def test_a_server_stops_though_its_collector_answers_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracer, "LAST_SECONDS", 0.05)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    async with running_stub(Then.HANG) as stub:
        settings = traced(settings, Collector(stub))
        async with served(settings, ScriptedProvider()) as server:
            answered = await ask(server.url)

        assert answered.status_code == 200


async def test_without_an_endpoint_there_are_no_traces(settings: Settings) -> None:
    assert open_tracer(settings, version="1") is None


async def test_without_the_extra_traces_are_not_sent_and_the_log_says_why(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "llamakeep.tracing.tracer", None)
    wanted = settings.model_copy(update={"otlp_endpoint": HttpUrl("http://127.0.0.1")})

    with caplog.at_level(logging.WARNING, "llamakeep"):
        assert open_tracer(wanted, version="1") is None

    assert "pip install 'llamakeep[otel]'" in caplog.text


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "Set it to http/protobuf"),
        ("OTEL_SDK_DISABLED=true", ""),
        ("OTEL_TRACES_EXPORTER=none", ""),
    ],
)
async def test_opentelemetrys_own_variables_turn_traces_off(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    reason: str,
) -> None:
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    wanted = settings.model_copy(update={"otlp_endpoint": HttpUrl("http://127.0.0.1")})

    with caplog.at_level(logging.WARNING, "llamakeep"):
        assert open_tracer(wanted, version="1") is None

    assert reason in caplog.text
    assert bool(caplog.text) == bool(reason)


@pytest.mark.slow
def test_nothing_that_sends_traces_is_imported_when_there_are_none() -> None:
    program = (
        "import sys; from llamakeep.app import create_app; "
        "from llamakeep.settings import Settings; create_app(Settings()); "
        "print([name for name in sys.modules if name.startswith("
        "('opentelemetry.sdk', 'opentelemetry.exporter', 'google.', 'requests'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
