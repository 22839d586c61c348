"""The page's Markdown, compared with markdown-it-py."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.page_units.nodes import PageText, open_page_text
from tests.page_units.reference import expected_html
from tests.page_units.texts import IN_SCOPE, ON_PURPOSE

# deno is a program.
pytestmark = pytest.mark.slow

OF_BLOCKS = [
    *"ab|-*_`=\t ",
    *("\n", "\n", "\n", "\n\n", "  ", "    "),
    *("- ", "* ", "+ ", "1. ", "2) ", "10. ", "> ", ">", "# ", "## ", "###"),
    *("```", "~~~", "```py", "---", "***", "___", "===", "- - -"),
    *("foo", "bar baz", "| a | b |", "|---|---|", ":-:", "-|-", "\\|"),
    *("[ ] ", "[x] "),
]
OF_LINES = [
    *("*", "**", "***", "_", "__", "~~", "~", "`", "``"),
    *("[", "]", "(", "](mailto:a)", "](mailto:b 'c')", "![", "<mailto:x>", "<a@b.c>"),
    *("!", "\\", "\\*", "\n", "  \n", "a", "b", "foo", "é", "“", "😀", " ", " "),
    *(
        ".",
        ",",
        "&amp;",
        "&",
        "<b>",
        "</b>",
        "\u00a0",
        ")",
        "|",
        ":",
        "a_b",
        "2*3",
        "。",
    ),
]
ODD = [
    # Of an empty item and the next one it makes two lists.
    r"^[ >\t]*([-+*]|\d+[.)])[ \t>]*\n[ \t>]*\n",
    # What begins like a heading or an item heads a table.
    r"^(?=.*\|).*([#>+~`*-]|\d[.)]).*\n[ >\t]*[-:|]",
    # Code below an empty quote belongs to the quote.
    r"^[ >]*>[ \t]*\n( {4}|\t)",
    # Blank lines that end a fence which is open in an item make its list loose.
    r"([-+*]|\d[.)])[\s\S]*(```|~~~)[\s\S]*\n[ >\t]*\n",
    # Code in a line keeps the spaces that begin the next line.
    r"`[^`]*\n[ \t>]+",
    # A backslash keeps the spaces that end a line.
    r"\\ +\n",
    # A link may lead nowhere; the page makes none of it.
    r"\]\(\)",
]
"""Texts that markdown-it-py reads otherwise than CommonMark says, but for the last."""


@pytest.fixture(scope="module")
def page() -> Iterator[PageText]:
    with open_page_text() as page:
        yield page


@pytest.mark.parametrize("section", IN_SCOPE)
def test_texts_are_read_as_commonmark_says(page: PageText, section: str) -> None:
    wrong = [
        (text, expected, made)
        for text in IN_SCOPE[section]
        for expected, made in [comparable(page, text)]
        if expected != made
    ]

    assert not wrong


@pytest.mark.parametrize("what", ON_PURPOSE)
def test_what_is_left_out_is_shown_as_it_is_written(page: PageText, what: str) -> None:
    _reason, text, expected = ON_PURPOSE[what]

    assert page.html(text) == f'<p dir="auto">{expected}</p>'


@settings(
    derandomize=True,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pieces=st.one_of(
        st.lists(st.sampled_from(OF_BLOCKS), max_size=30),
        st.lists(st.sampled_from(OF_LINES), max_size=30),
        st.lists(st.sampled_from(OF_BLOCKS + OF_LINES), max_size=30),
    )
)
def test_any_text_is_read_as_markdown_it_reads_it(
    page: PageText, pieces: list[str]
) -> None:
    text = "".join(pieces) + "\n"
    if any(re.search(odd, text, re.MULTILINE) for odd in ODD):
        return

    expected, made = comparable(page, text)

    assert made == expected


def comparable(page: PageText, text: str) -> tuple[str, str]:
    """Return what is expected and made of a text, without what cannot be seen."""
    expected, made = expected_html(text), page.html(text)
    if 'class="unknown"' in expected:
        # A list without paragraphs is neither loose nor tight.
        expected, made = (
            re.sub(r'="(loose|tight|unknown)"', "", one) for one in (expected, made)
        )
    expected, made = (re.sub(r" +\n", "\n", one) for one in (expected, made))
    return expected, made
