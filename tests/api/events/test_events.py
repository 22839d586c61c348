"""One stream for a whole tab: what it sends of a user's runs and their texts."""

import asyncio
from functools import partial

import pytest

from llamakeep.domain import Scope, User, UserRole
from llamakeep.domain.rates import parse_rates
from llamakeep.settings import Settings
from tests.api.accounts.logins import DAY, OWN, cookie_of, enrol, grow_old, log_in
from tests.api.events.tabs import Tab, tab
from tests.api.prompts.test_items import SCRIPT as ITEMS
from tests.api.prompts.test_items import TAPE
from tests.api.serving import PROMPTS, Client, connect
from tests.fakes import ScriptedProvider
from tests.waiting import until

WHOSE = ("run", "position")
WORDS = ("Once ", "upon ", "a \U0001f999", ".")
STORY = "".join(WORDS)


async def test_a_stream_begins_by_saying_that_lists_are_to_be_asked_for(
    client: Client,
) -> None:
    async with tab(client) as opened:
        pass

    assert [(one.event, one.data) for one in opened.events] == [
        ("ready", {"resumed": False})
    ]


@pytest.mark.parametrize("path", PROMPTS)
async def test_a_run_is_told_from_its_beginning_to_its_end_whatever_asked_it(
    settings: Settings, path: str
) -> None:
    begin, end = asyncio.Event(), asyncio.Event()
    async with connect(settings, ScriptedProvider([begin, "Yes", end])) as client:
        async with tab(client) as opened:
            asking = asyncio.create_task(client.post(path, json=PROMPTS[path]))
            await opened.until(lambda: opened.named("run"))
            [run_id] = opened.runs
            await opened.until_told(run_id, "starting")
            begin.set()
            await opened.until_told(run_id, "processing")
            end.set()
            await asking
            await opened.until_told(run_id)
        [kept] = (await client.get("/history/?text=240")).json()["history"]

    assert opened.statuses(run_id) == ["starting", "processing", "succeeded"]
    shown = opened.runs[run_id]
    assert shown == kept | {"conversation_title": kept["prompt"]}


async def test_the_text_of_a_followed_run_comes_in_its_order_before_its_end(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([WORDS[0], go_on, *WORDS[1:]])
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        async with tab(client, run_id) as opened:
            await opened.until(lambda: opened.texts[run_id] == WORDS[0])
            go_on.set()
            await opened.until_told(run_id)
        kept = await client.ended(run_id)

    assert opened.texts[run_id] == STORY
    assert opened.positions[run_id] == str(len(STORY))
    [done] = opened.named("done")
    assert done.data["run"] == run_id
    assert done.data["response"] == kept["response"] == STORY
    names = [
        one.data["status"] if one.event == "run" else one.event
        for one in opened.events
        if one.event != "delta"
    ]
    assert names[0] == "ready"
    assert names[-2:] == ["done", "succeeded"]


async def test_a_run_that_waits_for_its_turn_is_told_as_such(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    narrow = settings.model_copy(update={"max_running": 1})
    provider = ScriptedProvider(["Yes", go_on])
    async with connect(narrow, provider) as client, tab(client) as opened:
        first, second = await client.begin("One"), await client.begin("Two")
        await opened.until_told(first, "processing")
        await opened.until_told(second, "queued")
        go_on.set()
        await opened.until_told(second)

    assert opened.statuses(second)[0] == "queued"
    assert opened.statuses(first)[-1] == opened.statuses(second)[-1] == "succeeded"


@pytest.mark.slow  # seconds
async def test_reasoning_and_calls_are_told_as_items(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(ITEMS)) as client:
        run_id = await client.begin()
        async with tab(client, run_id) as opened:
            await opened.until(partial(len, opened.ended))
        for offset in range(len(TAPE)):
            late = Tab(client)
            late.follow(run_id, str(offset), TAPE[:offset])
            await late.open()
            await late.until(partial(len, late.ended))
            await late.close()
            assert late.texts[run_id] == TAPE
        [alone] = await client.history()

    assert opened.texts[run_id] == TAPE
    heads = [
        {name: value for name, value in one.data.items() if name not in WHOSE}
        for one in opened.named("item")
    ]
    told = [{k: v for k, v in item.items() if k != "text"} for item in alone["output"]]
    assert heads == told
    assert opened.named("done")[0].data["output"] == alone["output"]


async def test_a_run_that_fails_ends_with_an_error_that_names_it(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    async with connect(settings, ScriptedProvider(["Once", go_on])) as client:
        run_id = await client.begin()
        async with tab(client, run_id) as opened:
            await opened.until(lambda: opened.texts[run_id])
            await client.post(f"/history/{run_id}/cancel")
            await opened.until_told(run_id, "canceled")

    [error] = opened.named("error")
    assert error.data["run"] == run_id
    assert error.data["type"] == "urn:llamakeep:problem:run-canceled"
    assert opened.texts[run_id] == "Once"
    assert opened.events.index(error) < len(opened.events) - 1
    assert opened.events[-1].event == "run"


async def test_many_runs_are_followed_at_once(settings: Settings) -> None:
    async with connect(settings, ScriptedProvider(WORDS)) as client:
        run_ids = [await client.begin() for _ in range(32)]
        async with tab(client, *run_ids) as opened:
            await opened.until(lambda: opened.ended == set(run_ids))

    assert opened.texts == dict.fromkeys(run_ids, STORY)


@pytest.mark.parametrize(
    "query",
    [
        "follow=",
        "follow=:1",
        "follow=run_1:x",
        "follow=run_1:1&follow=run_1:2",
        "follow=" + 65 * "r",
        "&".join(f"follow=run_{n}:0" for n in range(33)),
        "folow=run_1:0",
    ],
)
async def test_what_names_no_run_and_position_is_refused(
    shared_client: Client, query: str
) -> None:
    answer = await shared_client.get(f"/events/?{query}")

    assert answer.status_code == 422


async def test_a_run_of_another_user_looks_like_none_and_ends_nothing(
    client: Client,
) -> None:
    bobs = await client.let_in("bob2")
    theirs = (await client.post("/prompt/", json={"prompt": "Hi"}, headers=bobs)).json()
    run_id, missing = theirs["id"], "run_01jgfjjz000000000000000000"
    async with tab(client, run_id, missing) as opened:
        await opened.until(lambda: len(opened.ended) == 2)
        mine = (await client.post("/prompt/", json={"prompt": "Hi"})).json()
        await client.post("/prompt/", json={"prompt": "Hi"}, headers=bobs)
        await opened.until_told(mine["id"])

    errors = {one.data["run"]: one.data for one in opened.named("error")}
    assert {each["type"] for each in errors.values()} == {
        "urn:llamakeep:problem:run-not-found"
    }
    assert errors.keys() == {run_id, missing}
    assert opened.runs.keys() == {mine["id"]}


async def test_who_comes_back_in_time_is_told_what_changed_meanwhile(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([go_on, "Yes"])
    async with connect(settings, provider) as client, tab(client) as opened:
        going_on = await client.begin("One")
        await opened.until_told(going_on, "starting")
        known = len(opened.events)
        await opened.close()
        other = await client.begin("Two")
        go_on.set()
        await client.ended(going_on)
        await client.ended(other)

        await opened.open()
        await opened.until_told(going_on)
        await opened.until_told(other)

    again = opened.events[known:]
    assert (again[0].event, again[0].data) == ("ready", {"resumed": True})
    assert {one.data["id"] for one in again[1:]} == {going_on, other}


async def test_who_comes_back_too_late_is_to_ask_for_lists(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.feeds.LINGERING", 0.0)
    async with tab(client) as opened:
        await opened.close()
        await asyncio.sleep(0.01)
        await opened.open()

    assert [one.data["resumed"] for one in opened.named("ready")] == [False, False]


@pytest.mark.parametrize("cursor", ["x", "1", "-1", "0123456789ab-0", "\u0661-\u0661"])
async def test_an_unknown_cursor_is_no_mistake(client: Client, cursor: str) -> None:
    async with tab(client) as known:
        answer = await client.get(
            "/events/", headers=[(b"last-event-id", cursor.encode())]
        )
        beyond = Tab(client)
        beyond.cursor = known.cursor.rpartition("-")[0] + "-99999"
        await beyond.open()
        await beyond.close()

    assert b'{"resumed":false}' in answer.content
    assert beyond.events[0].data == {"resumed": False}


async def test_of_many_changes_the_last_one_counts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.engine.feeds.feed.MOST", 3)
    monkeypatch.setattr("llamakeep.api.events.stream.AGAIN", 0.0)
    async with tab(client) as slow:
        slow.reads.clear()
        for number in range(12):
            await client.post("/prompt/", json={"prompt": str(number)})
        last = (await client.post("/prompt/", json={"prompt": "Last"})).json()["id"]
        slow.reads.set()
        await slow.until_shown(last)

    assert len(slow.named("run")) < 12
    assert [one.data["resumed"] for one in slow.named("ready")][-1] is False


async def test_nothing_of_texts_that_are_not_kept_is_in_what_lists_show(
    settings: Settings,
) -> None:
    go_on = asyncio.Event()
    secret = "A secret that must not be kept"
    async with connect(settings, ScriptedProvider([secret, go_on])) as client:
        async with tab(client) as opened:
            asking = asyncio.create_task(
                client.post("/prompt/", json={"prompt": secret, "store": False})
            )
            await opened.until(lambda: opened.runs)
            [run_id] = opened.runs
            opened.follow(run_id)
            await opened.close()
            await opened.open()
            await opened.until(lambda: opened.texts[run_id])
            go_on.set()
            answer = (await asking).json()
            await opened.until_told(run_id)
        late = Tab(client)
        late.follow(run_id)
        await late.open()
        await late.until(lambda: late.ended)
        await late.close()

    assert opened.texts[run_id] == answer["response"] == secret
    assert secret not in str([one.data for one in opened.named("run")])
    [error] = late.named("error")
    assert error.data["type"] == "urn:llamakeep:problem:text-not-kept"
    assert secret not in str(late.events)


async def test_a_run_that_is_deleted_is_told(client: Client) -> None:
    async with tab(client) as opened:
        run_id = (await client.post("/prompt/", json={"prompt": "Hi"})).json()["id"]
        await opened.until_told(run_id)
        await client.delete(f"/history/{run_id}")
        await opened.until(lambda: opened.named("deleted"))

    assert opened.named("deleted")[0].data == {"run": run_id}


async def test_what_else_changes_lists_is_told(client: Client) -> None:
    run_id = (await client.post("/prompt/", json={"prompt": "Hi"})).json()["id"]
    async with tab(client) as opened:
        await client.patch(f"/history/{run_id}", json={"metadata": {"a": "b"}})
        await opened.until(
            lambda: opened.runs.get(run_id, {}).get("metadata") == {"a": "b"}
        )
        conversation = opened.runs[run_id]["conversation_id"]
        await client.patch(f"/conversations/{conversation}", json={"title": "Mine"})
        await opened.until(
            lambda: opened.runs[run_id].get("conversation_title") == "Mine"
        )
        items = [{"role": "user", "content": "Ho"}]
        await client.post(
            f"/v1/conversations/{conversation}/items", json={"items": items}
        )
        await opened.until(
            lambda: "Ho" in {run["prompt"] for run in opened.runs.values()}
        )
        await client.delete("/history/?all=true")
        await opened.until(lambda: opened.named("ready")[1:])

    assert opened.named("ready")[-1].data == {"resumed": False}


@pytest.mark.parametrize("ends", ["logout", "disabled", "deleted"])
async def test_a_credential_that_ends_ends_its_stream_before_anything_else_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr("llamakeep.api.events.stream.CHECK", 0.0)
    dora = await client.storage.add_user("dora", None)
    login, other = await client.let_in(dora), await client.let_in(dora)
    async with tab(client, headers=login) as opened:
        if ends == "logout":
            await client.post("/logout/", headers=login)
        elif ends == "disabled":
            root = await client.let_in(await _admin(client))
            await client.patch(
                f"/admin/users/{dora.id}", json={"disabled": True}, headers=root
            )
        else:
            root = await client.let_in(await _admin(client))
            await client.delete(f"/admin/users/{dora.id}", headers=root)
        if ends == "logout":
            await client.post("/prompt/", json={"prompt": "Hi"}, headers=other)
        else:
            client.engine.feeds.lose(dora.id)
        await until(lambda: opened.is_over)

    [_, last] = opened.events
    assert last.event == "error"
    assert last.data["type"] == "urn:llamakeep:problem:unauthenticated"


async def test_a_silent_stream_looks_at_its_credential_as_well(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.events.stream.CHECK", 0.0)
    monkeypatch.setattr("llamakeep.api.events.stream.KEEP_ALIVE", 0.01)
    login = await client.let_in("dora")
    async with tab(client, headers=login) as opened:
        await opened.until(lambda: opened.named("comment"))
        await client.post("/logout/", headers=login)
        await until(lambda: opened.is_over)

    assert opened.events[-1].event == "error"


async def test_to_look_at_a_credential_again_is_no_request(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.events.stream.CHECK", 0.0)
    monkeypatch.setattr("llamakeep.api.events.stream.KEEP_ALIVE", 0.001)
    limited = settings.model_copy(update={"rate_limit": parse_rates("5/hour")})
    async with connect(limited, ScriptedProvider()) as client:
        async with tab(client) as opened:
            await opened.until(lambda: len(opened.named("comment")) > 10)
        answer = await client.get("/history/")

    assert answer.status_code == 200


async def test_a_tab_that_is_logged_in_by_cookie_writes_nothing_while_it_is_silent(
    real: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamakeep.api.events.stream.CHECK", 0.0)
    monkeypatch.setattr("llamakeep.api.events.stream.KEEP_ALIVE", 0.001)
    async with connect(real, ScriptedProvider()) as client:
        await enrol(client)
        cookie = cookie_of(await log_in(client))
        page = cookie | {"Sec-Fetch-Site": "same-origin"}
        async with tab(client, headers=page) as opened:
            await grow_old(client, cookie, DAY)  # another request would renew it
            written = client.storage.commits
            await opened.until(lambda: len(opened.named("comment")) > 10)
            assert client.storage.commits == written
            await client.post("/logout/", headers=cookie | OWN)
            await until(lambda: opened.is_over)

    assert opened.events[-1].data["type"].endswith(":unauthenticated")


async def test_a_key_needs_the_scope_of_the_history(client: Client) -> None:
    secrets = {}
    for scope in (Scope.PROMPT, Scope.HISTORY):
        body = {"name": scope, "scopes": [scope]}
        made = await client.post("/keys/", json=body)
        secrets[scope] = {"Authorization": f"Bearer {made.json()['key']}"}

    refused = await client.get("/events/", headers=secrets[Scope.PROMPT])
    async with tab(client, headers=secrets[Scope.HISTORY]) as opened:
        run_id = (await client.post("/prompt/", json={"prompt": "Hi"})).json()["id"]
        await opened.until_told(run_id)

    assert refused.status_code == 403


async def test_a_user_may_have_so_many_streams_open(client: Client) -> None:
    tabs = []
    for _ in range(70):
        tabs.append(Tab(client))
        await tabs[-1].open()
        if tabs[-1].status != 200:
            break
    await tabs[0].close()
    again = Tab(client)
    await again.open()
    for each in (*tabs, again):
        await each.close()

    assert len(tabs) == 65
    assert tabs[-1].status == 429
    assert tabs[-1].refusal["type"] == "urn:llamakeep:problem:too-many-readers"
    assert again.status == 200


async def test_a_server_that_stops_ends_streams_with_a_hint(
    settings: Settings,
) -> None:
    async with connect(settings, ScriptedProvider()) as client:
        opened = Tab(client)
        await opened.open()
        await client.engine.close()
        await until(lambda: opened.is_over)
        refused = Tab(client)
        await refused.open()

    assert opened.events[-1].event == "error"
    assert opened.events[-1].data["type"] == "urn:llamakeep:problem:server-stopping"
    assert refused.status == 503


async def test_a_slow_reader_gets_everything_and_holds_little(
    settings: Settings,
) -> None:
    piece = 16 * 1024 * "x"
    go_on = asyncio.Event()
    provider = ScriptedProvider(["y", go_on, *[piece] * 64])
    async with connect(settings, provider) as client:
        run_id = await client.begin()
        async with tab(client, run_id) as slow:
            await slow.until(lambda: slow.texts[run_id] == "y")
            slow.reads.clear()
            go_on.set()
            await until(lambda: not client.engine.running)
            slow.reads.set()
            await slow.until_told(run_id)

    assert slow.texts[run_id] == "y" + 64 * piece
    assert slow.named("done")[0].data["response"] == slow.texts[run_id]
    assert "reset" not in {one.event for one in slow.events}


async def test_fast_deltas_are_joined_for_each_of_many_tabs(settings: Settings) -> None:
    go_on = asyncio.Event()
    words = [f"w\u00f6rd{number} " for number in range(3000)]
    async with connect(settings, ScriptedProvider([go_on, *words])) as client:
        run_id = await client.begin()
        tabs = [Tab(client) for _ in range(10)]
        for each in tabs:
            each.follow(run_id)
            await each.open()
        go_on.set()
        for each in tabs:
            await each.until_told(run_id)
            await each.close()

    assert {each.texts[run_id] for each in tabs} == {"".join(words)}
    assert max(len(each.named("delta")) for each in tabs) < len(words) / 3


@pytest.mark.slow  # seconds
async def test_long_ends_and_other_events_are_not_mixed(settings: Settings) -> None:
    piece = 16 * 1024 * "\U0001f999"
    async with connect(settings, ScriptedProvider([piece] * 20)) as client:
        run_ids = [await client.begin() for _ in range(8)]
        await until(lambda: not client.engine.running)
        async with tab(client, *run_ids) as opened:
            more = [await client.begin(str(number)) for number in range(8)]
            for run_id in more:
                await opened.until_told(run_id)
            await opened.until(lambda: opened.ended == set(run_ids))

    assert set(opened.texts.values()) == {20 * piece}
    ends = {one.data["run"]: one.data["response"] for one in opened.named("done")}
    assert ends == opened.texts


async def _admin(client: Client) -> User:
    return await client.storage.add_user("root", None, role=UserRole.ADMIN)
