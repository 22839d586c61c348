"""All about one run."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.past import past
from tests.page.site import Site
from tests.page.tabs import Tabs, check_everywhere, turn


def test_a_runs_page_follows_it_and_has_all_that_is_known_of_it(
    tabs: Tabs, site: Site, model: Model
) -> None:
    gate = model.gate()
    model.says(["A **slow", gate, "** answer."])
    run = site.begin("How slow?", metadata={"project": "llamas"}, temperature=0.5)
    page = tabs.open(site, f"/r/{run['id']}")
    expect(page.locator(".answer")).to_contain_text("slow")
    gate.set()
    expect(page.locator(".answer")).to_have_text("A slow answer.")
    facts = page.locator("dl.facts").first
    expect(facts).to_contain_text("Answered")
    expect(facts).to_contain_text("3 tokens")
    expect(facts).to_contain_text("cost unknown")
    expect(page.locator(".timeline")).to_contain_text("Ended")
    page.get_by_role("button", name="Edit tags").click()
    page.get_by_role("dialog", name="Tags").get_by_role("textbox").fill(
        "farm: big\nnew"
    )
    page.get_by_role("button", name="Keep these").click()
    expect(page.get_by_role("link", name="farm:big")).to_be_visible()
    assert site.history()[0]["metadata"] == {"farm": "big", "new": ""}
    check_everywhere(page)
    page.get_by_role("link", name="In its conversation").click()
    expect(turn(page)).to_contain_text("A slow answer.")


def test_the_same_request_works_as_it_is_written(
    tabs: Tabs,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = site.ask('Say "\\ud83e"\n🦙', system_prompt="Hum.", stop=["x"], top_k=3)
    page = tabs.open(site, f"/r/{run['id']}")
    monkeypatch.setenv("LLAMAKEEP_API_KEY", "token_alice")
    for name in ("Python", "OpenAI's client"):
        program = page.get_by_label(name, exact=True).text_content()
        assert program is not None
        exec(compile(program, name, "exec"), {})
        assert capsys.readouterr().out == "Hello, world.\n"
    prompts = [(each["prompt"], each["system_prompt"]) for each in site.history()]
    assert prompts == [(prompts[0][0], "Hum.")] * 3


def test_a_run_of_another_user_looks_like_none_at_all(tabs: Tabs, site: Site) -> None:
    run = site.ask("Alice's")["id"]
    texts = set()
    for one in (run, f"{run[:-3]}000"):
        page = tabs.open(site, f"/r/{one}", user="bob")
        expect(page.get_by_role("alert")).to_be_visible()
        texts.add(page.locator("main").inner_text().replace(one, "run"))
    assert len(texts) == 1


def test_the_next_and_the_previous_run_keep_the_filters(tabs: Tabs, site: Site) -> None:
    prompts = ["Llama one", "Cat", "Llama two", "Llama three"]
    past(site, *({"prompt": prompt} for prompt in prompts))
    page = tabs.open(site, "/find?q=llama")
    page.get_by_role("link", name="All about it").first.click()
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text("Llama three")
    page.keyboard.press("j")
    expect(title).to_have_text("Llama two")
    page.get_by_role("link", name="The older run").click()
    expect(title).to_have_text("Llama one")
    expect(page).to_have_url(re.compile(r"\?q=llama$"))
    page.keyboard.press("k")
    expect(title).to_have_text("Llama two")


def test_a_deletion_can_be_undone_for_ten_seconds_and_is_sent_after_them(
    tabs: Tabs, site: Site
) -> None:
    run = site.ask("Forget this")
    page = tabs.open(site, f"/r/{run['id']}", has_clock=True)
    delete(page)
    page.clock.fast_forward(9_000)
    page.get_by_role("button", name="Undo").click()
    page.clock.fast_forward(12_000)
    expect(page.locator(".answer")).to_be_visible()
    assert len(site.history()) == 1
    delete(page)
    page.clock.fast_forward(12_000)
    expect(page).to_have_url(f"{site.origin}/find")
    assert site.history() == []


def delete(page: Page) -> None:
    page.get_by_role("button", name="More about this run").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.locator(".answer")).to_be_hidden()
