"""What the page's text has to look like, by markdown-it-py."""

from collections.abc import Iterator, Sequence
from re import compile as pattern
from re import split

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

SAFE = pattern(r"(?i)(?:https?://|mailto:)\S")
TASK = pattern(r"\[([ xX])\]\s+(?=\S)")
HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}
LINK = ' rel="noopener noreferrer" target="_blank"'


def new_reference() -> MarkdownIt:
    """Return markdown-it-py with what the page reads, and nothing else."""
    reference = MarkdownIt("commonmark", {"html": False, "maxNesting": 1000})
    reference.enable(["table", "strikethrough"]).disable("reference")
    reference.validateLink = lambda url: SAFE.match(url) is not None  # type: ignore[method-assign]
    # The page leaves it to browsers to encode addresses.
    reference.normalizeLink = lambda url: url  # type: ignore[method-assign]
    reference.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    return reference


REFERENCE = new_reference()


def expected_html(markdown: str) -> str:
    """Return the page's HTML of a text, made from markdown-it-py's tokens."""
    tokens = REFERENCE.parse(markdown)
    return "".join(_blocks(tokens))


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    for index, token in enumerate(tokens):
        if token.type in {"fence", "code_block"}:
            yield _code(token)
        elif token.type == "inline":
            is_task = index > 1 and tokens[index - 2].type == "list_item_open"
            is_task = is_task and tokens[index - 1].type == "paragraph_open"
            yield _inline(token, is_task=is_task)
        elif token.type.endswith("_list_open"):
            yield f"<{token.tag}{_list_attributes(tokens, index)}>"
        elif token.type == "table_open":
            yield '<div class="table" tabindex="0"><table>'
        elif token.type == "table_close":
            has_body = tokens[index - 1].type == "tbody_close"
            yield ("" if has_body else "<tbody></tbody>") + "</table></div>"
        else:
            yield _tag(token)


def _tag(token: Token) -> str:
    tag = HEADINGS.get(token.tag, token.tag)
    if token.nesting < 0:
        return f"</{tag}>"
    attributes = ""
    if tag in {"td", "th"}:
        style = str(token.attrs.get("style", ""))
        attributes += f' data-align="{style[11:]}"' if style else ""
    if tag in {"p", "td", "th"} or tag in HEADINGS.values():
        attributes += ' dir="auto"'
    if tag == "th":
        attributes += ' scope="col"'
    return f"<{tag}{attributes}>"


def _list_attributes(tokens: Sequence[Token], start: int) -> str:
    level = tokens[start].level
    inside = []
    for token in tokens[start + 1 :]:
        if token.level == level:
            break
        inside.append(token)
    own = [
        one for one in inside if one.type == "paragraph_open" and one.level == level + 2
    ]
    kind = "tight" if any(one.hidden for one in own) else "loose"
    if not own:
        kind = "unknown"
    number = tokens[start].attrs.get("start")
    return f' class="{kind}"' + ("" if number is None else f' start="{number}"')


def _code(token: Token) -> str:
    language = split(r"\s", unescapeAll(token.info).strip(" \t"))[0]
    shown = _text(language)
    code = token.content.removesuffix("\n") + "\n" if token.content else ""
    data = f' data-language="{shown}"' if language else ""
    return (
        f'<div class="code" dir="ltr"><div class="code-head"><span>{shown}</span>'
        '<button class="copy-code" type="button">Copy</button></div>'
        f'<pre tabindex="0"><code{data}>{_text(code)}</code></pre></div>'
    )


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _inline(token: Token, *, is_task: bool) -> str:
    children = token.children or []
    task = TASK.match(token.content) if is_task else None
    if task is None:
        return _pieces(children)
    is_done = task[1] != " "
    label = ' aria-label="done" checked=""' if is_done else ' aria-label="to do"'
    rest = REFERENCE.parseInline(token.content[task.end() :])[0].children or []
    return f'<input{label} disabled="" type="checkbox"> {_pieces(rest)}'


def _pieces(children: Sequence[Token], *, is_in_link: bool = False) -> str:
    made = []
    links: list[str] = []
    for token in children:
        is_inside = is_in_link or bool(links)
        if token.type == "text":
            made.append(_text(token.content))
        elif token.type == "code_inline":
            made.append(f'<code dir="ltr">{_text(token.content)}</code>')
        elif token.type == "softbreak":
            made.append("\n")
        elif token.type == "hardbreak":
            made.append("<br>\n")
        elif token.type == "image":
            inner = _pieces(token.children or [], is_in_link=True)
            src = str(token.attrs["src"])
            made.append(inner if is_inside else _link(token, src, inner))
        elif token.type == "link_open":
            made.append("" if is_inside else "\0")
            links.append(
                "" if is_inside else _link(token, str(token.attrs["href"]), "\1")
            )
        elif token.type == "link_close":
            opening = links.pop()
            if opening:
                start = len(made) - 1 - made[::-1].index("\0")
                inner = "".join(made[start + 1 :])
                made[start:] = [opening.replace("\1", inner or _text(_href(opening)))]
        else:
            tag = {"s": "del"}.get(token.tag, token.tag)
            made.append(f"<{'/' * (token.nesting < 0)}{tag}>")
    return "".join(made)


def _href(opening: str) -> str:
    return opening.split('href="', 1)[1].split('"', 1)[0]


def _link(token: Token, href: str, inner: str) -> str:
    title = token.attrs.get("title")
    titled = f' title="{_text(str(title))}"' if title else ""
    shown = inner or _text(href)
    return (
        f'<a href="{_text(href)}" rel="noopener noreferrer" target="_blank"{titled}>'
        f"{shown}</a>"
    )
