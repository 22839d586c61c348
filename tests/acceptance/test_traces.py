"""Traces of real servers, one of which is killed."""

from llamakeep.domain.ids import number_of
from tests.acceptance.conftest import NewServer
from tests.providers.stub_server import DONE, END, STOP, Then, delta, head, running_stub
from tests.tracing.collecting import collecting
from tests.waiting import until


async def test_a_run_that_a_crash_interrupted_goes_on_in_the_same_trace(
    new_server: NewServer,
) -> None:
    whole = (head(), delta("Once "), STOP, DONE, END)
    async with (
        collecting() as collector,
        running_stub(head(), delta("Once "), Then.HANG) as stub,
    ):
        server = new_server(
            is_real=True,
            settings={
                "openai_base_url": stub.base_url,
                "default_model": "openai:parrot",
                "retry_interrupted": True,
                "otlp_endpoint": collector.url,
            },
        )
        await server.start()
        body = {"prompt": "Hi", "background": True}
        run_id = (await server.client.post("/prompt/", json=body)).json()["id"]
        await until(lambda: stub.heard)
        await server.stop()
        stub.script = whole
        await server.start()
        ended = await server.ended_run(run_id)
        run = await collector.wait_for("run")
        call = await collector.wait_for("chat parrot")

    first, again = (each.headers["traceparent"].split("-") for each in stub.heard)
    trace_id = f"{number_of(run_id):032x}"
    assert ended["status"] == "succeeded"
    assert [run.trace_id, call.trace_id, first[1], again[1]] == [trace_id] * 4
    assert (again[2], call.parent_id) == (call.id, run.id)
    assert run.attributes["llamakeep.run.taken_over"] is True
    assert run.attributes["llamakeep.run.attempt"] == 2
