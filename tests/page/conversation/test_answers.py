"""What models write, as elements in a real browser, under the page's policy."""

from playwright.sync_api import Page, expect

from tests.page.model import RICH, Model
from tests.page.site import Site
from tests.page.tabs import check_everywhere, requests_of, send, turn

HOSTILE = """<script>document.title = "hacked"</script>
<img src=https://example.com/pixel onerror="document.title = 'hacked'">
<style>* { display: none }</style>
<iframe src=https://example.com></iframe>

[one](javascript:document.title='hacked') [two](data:text/html,<script>1</script>)
[three](JAVA&#115;CRIPT:1) [four](\x01javascript:1) [five](//example.com)
[six](/logout/)

![a picture](https://example.com/picture.png?said=secret)
<a href="javascript:document.title='hacked'" style="position:fixed">seven</a>

```html" onmouseover="document.title='hacked'
<script>document.title = "hacked"</script>
```
"""
ELEMENTS = {
    *("a", "blockquote", "br", "button", "code", "del", "div", "em", "h3", "h4", "h5"),
    *("h6", "hr", "input", "li", "ol", "p", "pre", "span", "strong", "table", "tbody"),
    *("td", "th", "thead", "tr", "ul"),
}


def test_an_answer_has_accessible_elements(page: Page, model: Model) -> None:
    model.says([RICH])
    send(page, "Show me all")
    text = turn(page).locator(".text")
    expect(text.locator("h3")).to_have_text("A heading")
    expect(text.locator("hr")).to_be_attached()
    expect(text.locator("input:checked")).to_have_count(1)
    expect(text.locator("td").nth(1)).to_have_css("text-align", "end")
    link = text.get_by_role("link")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    check_everywhere(page)


def test_a_hostile_answer_runs_nothing_and_asks_for_nothing(
    page: Page, site: Site, model: Model
) -> None:
    asked = requests_of(page)
    model.says([HOSTILE])
    send(page, "Attack me")
    text = turn(page).locator(".text")
    expect(text.locator("code")).to_contain_text("<script>")
    expect(turn(page).locator(".facts")).to_contain_text("3 tokens")

    made = text.evaluate("e => [...e.querySelectorAll('*')].map(e => e.localName)")
    assert set(made) <= ELEMENTS
    links = text.get_by_role("link")
    expect(links).to_have_count(3)
    for link in links.all():
        assert str(link.get_attribute("href")).startswith("https://example.com")
    expect(text).to_contain_text("[one](javascript:document.title='hacked')")
    expect(text).to_contain_text("[six](/logout/)")
    assert "hacked" not in page.title()
    assert [url for url in asked if not url.startswith(site.origin)] == []


def test_a_text_can_be_selected_while_it_is_written(page: Page, model: Model) -> None:
    gate = model.gate()
    model.says(["Take **these words", gate, "** with you.\n\nAnd", " more.\n\n```\nx"])
    send(page, "Speak slowly")
    text = turn(page).locator(".text")
    words = text.locator("strong")
    expect(words).to_have_text("these words")
    words.evaluate("e => getSelection().selectAllChildren(e)")
    gate.set()
    expect(text.locator("code")).to_have_text("x\n")
    assert page.evaluate("() => getSelection().toString()") == "these words"


def test_code_has_colours_and_is_copied_alone(page: Page, model: Model) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    model.says([RICH])
    send(page, "Show me code")
    code = turn(page).locator(".code")
    expect(code.locator(".code-word").first).to_have_text("def")
    expect(code.locator(".code-number").first).to_have_text("42")
    code.get_by_role("button", name="Copy").click()
    expect(page.locator(".notice", has_text="Code copied")).to_be_visible()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith("def answer():")
    assert copied.endswith('a phone")\n')


def test_each_paragraph_has_its_own_direction_and_code_is_left_to_right(
    page: Page, model: Model
) -> None:
    hello = "\u05e9\u05dc\u05d5\u05dd"
    model.says([f"{hello} `code`\n\nhello\n\n- {hello}\n\n```\n{hello}\n```\n"])
    send(page, hello)
    text = turn(page).locator(".answer > .text")
    expect(text.locator("pre")).to_have_css("direction", "ltr")
    expect(text.locator("p > code")).to_have_css("direction", "ltr")
    expect(turn(page).locator(".said")).to_have_css("direction", "rtl")
    for number, direction in enumerate(["rtl", "ltr", "rtl"]):
        expect(text.locator("p").nth(number)).to_have_css("direction", direction)
