"""Keys, phones, the clipboard, themes and screen readers."""

from playwright.sync_api import Page, expect

from tests.page.model import Model
from tests.page.site import Site
from tests.page.tabs import PHONE, Tabs, check_width, send, turn

MARKDOWN = "A **bold** word:\n\n```python\nprint('llama')\n```\n"


HEAR = """() => {
    const line = document.querySelector('[role=status].hidden');
    const hear = () => heard.push(line.textContent);
    window.heard = [];
    new MutationObserver(hear).observe(line, { childList: true });
}"""


def copied(page: Page) -> str:
    """Return what a paste brings."""
    field = page.get_by_role("textbox", name="Prompt")
    field.fill("")
    field.press("Control+v")
    return field.input_value()


def test_copy_gives_the_markdown_also_without_the_clipboards_interface(
    page: Page, model: Model
) -> None:
    page.add_init_script("delete Navigator.prototype.clipboard")
    page.reload()
    model.says([MARKDOWN])
    send(page, "Markdown, please")
    turn(page).locator(".foot").get_by_role("button", name="Copy").click()
    expect(page.locator(".notice")).to_have_text("Copied")
    assert copied(page) == MARKDOWN
    turn(page).locator(".code").get_by_role("button", name="Copy").click()
    expect(page.locator(".notice").last).to_have_text("Code copied")
    assert copied(page) == "print('llama')\n"


def test_copy_says_when_it_cannot(page: Page) -> None:
    send(page, "Something")
    expect(turn(page)).to_contain_text("Hello, world.")
    page.evaluate("() => { delete Navigator.prototype.clipboard; }")
    page.evaluate("() => { document.execCommand = () => false; }")
    turn(page).get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator(".notice")).to_contain_text("did not let it be copied")


def test_on_a_phone_enter_is_a_new_line_and_nothing_scrolls_sideways(
    tabs: Tabs, site: Site, model: Model
) -> None:
    model.says(
        [
            f"`{'long' * 200}`\n\n```\n{'code ' * 200}\n```\n\n",
            f"|a|b|\n|-|-|\n|{'x' * 300}|y|\n",
        ]
    )
    page = tabs.open(site, viewport=PHONE, has_touch=True, is_mobile=True)
    field = page.get_by_role("textbox", name="Prompt")
    field.tap()
    page.keyboard.type("One")
    page.keyboard.press("Enter")
    page.keyboard.type("Two")
    expect(field).to_have_value("One\nTwo")
    assert site.history() == []
    page.get_by_role("button", name="Send").tap()
    expect(turn(page)).to_contain_text("code code")
    expect(turn(page).locator(".facts")).to_be_visible()
    check_width(page)
    box = page.get_by_role("region", name="Ask").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= PHONE["height"]
    page.get_by_role("button", name="Conversations and pages").tap()
    expect(page.get_by_role("link", name="Usage")).to_be_in_viewport()
    page.go_back()
    expect(page.get_by_role("link", name="Usage")).not_to_be_in_viewport()
    expect(turn(page)).to_contain_text("code code")


def test_a_screen_reader_hears_beginning_end_and_problems_but_not_each_word(
    page: Page, model: Model
) -> None:
    page.evaluate(HEAR)
    gate = model.gate()
    model.says(["One ", "two ", gate, "three."], [400])
    send(page, "Count")
    expect(turn(page)).to_contain_text("One two")
    gate.set()
    expect(turn(page)).to_contain_text("three.")
    line = page.locator("[role=status].hidden")
    expect(line).to_have_text("Answer complete, 3 words")
    send(page, "Fail")
    expect(line).to_contain_text("Failed.")
    texts = page.evaluate("() => window.heard")
    assert texts[:2] == ["Answering", "Answer complete, 3 words"]
    assert turn(page, 0).locator("[aria-live]").count() == 0


def test_the_list_of_keys_is_complete_and_works(page: Page, model: Model) -> None:
    model.says(["One."], ["Two."], ["Three."])
    send(page, "First")
    expect(turn(page)).to_contain_text("One.")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for name in (
        "Ctrl+K",
        "/",
        "n",
        "j",
        "k",
        "c",
        "r",
        "e",
        "l",
        "g then u",
        "Ctrl+.",
    ):
        expect(keys.locator("kbd").get_by_text(name, exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    # Answers that are still written are neither edited nor asked again.
    expect(turn(page).locator(".facts")).to_be_visible()
    page.keyboard.press("k")
    expect(turn(page)).to_be_focused()
    page.keyboard.press("r")
    expect(turn(page)).to_contain_text("Two.")
    expect(turn(page).locator(".facts")).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("First")
    page.get_by_role("button", name="Cancel").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").fill("new conv")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New conversation")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("n")
    expect(page.get_by_role("searchbox")).to_have_value("n")


def test_ctrl_k_deletes_to_the_end_on_a_mac(tabs: Tabs, site: Site) -> None:
    context = tabs.device(site)
    context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'platform', "
        "{ get: () => 'MacIntel' })"
    )
    page = context.new_page()
    page.goto(site.origin)
    page.get_by_role("textbox", name="Prompt").press("Control+k")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Meta+k")
    expect(page.get_by_role("dialog", name="Go to")).to_be_visible()


def test_the_chosen_theme_is_there_at_the_first_paint(tabs: Tabs, site: Site) -> None:
    context = tabs.device(site, color_scheme="light")
    page = context.new_page()
    page.route("**/main.js", lambda _: None)
    page.goto(site.origin, wait_until="commit")
    page.evaluate("localStorage.setItem('llamakeep:looks', '{\"theme\": \"dark\"}')")
    page.reload(wait_until="commit")
    expect(page.locator("body")).to_have_css("background-color", "rgb(21, 20, 18)")
