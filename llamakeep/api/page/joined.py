"""
The page's modules and styles, joined: a browser asks for one file instead of seventy.

In a joined file each module is a function that runs once, after those that it imports,
and returns what it exports. Comments and indentation are left out of all that is sent.
This goes by lines, as `deno fmt` writes them; a module that says something in another
way is refused, which any request for a page shows.
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from graphlib import TopologicalSorter

Texts = Mapping[str, str]
"""Files by their paths in the folder."""

WHOLES = {
    "index.js": ("main.js", "views/conversation.js"),
    "docs.js": ("docs/main.js",),
}
"""
Files that are made for the page of the same name, and the modules it starts with.

These stay files of their own; the made one has all that they import. What is loaded
later takes from the first of these files what is in it, and imports the rest itself.
"""

_IMPORT = re.compile(
    r'^import (?:(\{[^}]*\})|\* as (\w+)) from "(\.[^"]+)";$', re.MULTILINE
)
_LATER = re.compile(r'\bimport\("(\.[^"]+)"\)')
_EXPORT = re.compile(
    r"^export (?=(?:const|class|(?:async )?function\*?) (\w+))", re.MULTILINE
)
_REFUSED = re.compile(r"^(?:import|export|await)\b.*", re.MULTILINE)
_STYLE = re.compile(r'^@import "([^"]+)"(?: (\w+))?;$', re.MULTILINE)
_COMMENT = re.compile(
    r"^[ \t]*(?://.*|/\*[^*]*(?:\*(?!/)[^*]*)*\*/[ \t]*)\n", re.MULTILINE
)
_TYPE = re.compile(r"/\*\* @type [^*\n]*\*/ ?")
_INDENTATION = re.compile(r"^\s+", re.MULTILINE)


def joined(texts: Texts) -> Texts:
    """
    Return what browsers get for these files.

    Raises:
        ValueError: A module is written in a way that cannot be joined.
    """
    modules = {name: text for name, text in texts.items() if name.endswith(".js")}
    styles = {name: text for name, text in texts.items() if name.endswith(".css")}
    made = {**_modules(modules), **_styles(styles)}
    return {
        **{name: texts[name] for name in texts.keys() - modules.keys() - styles.keys()},
        **{name: shortened(text) for name, text in made.items()},
    }


def shortened(text: str) -> str:
    """
    Return a module or style without comments, indentation and empty lines.

    No text in a module spans lines: see `tests/page_units/sources_test.js`.
    """
    return _INDENTATION.sub("", _TYPE.sub("", _COMMENT.sub("", text)))


def _styles(styles: Texts) -> Texts:
    """Put styles into those that import them."""

    def style(name: str, found: re.Match[str]) -> str:
        text = styles[_path(name, found[1])]
        return f"@media {found[2]} {{\n{text}}}" if found[2] else text

    return {
        name: _STYLE.sub(partial(style, name), text) for name, text in styles.items()
    }


def _modules(modules: Texts) -> Texts:
    insides = {
        whole: [name for name in _imported(entries, modules) if name not in entries]
        for whole, entries in WHOLES.items()
    }
    files = {whole: _whole(inside, modules) for whole, inside in insides.items()}
    used_by = {name: whole for whole, names in WHOLES.items() for name in names}
    for name in modules.keys() - set().union(*insides.values()):
        whole = used_by.get(name, next(iter(WHOLES)))
        files[name] = _with_imports_of(whole, insides[whole], name, modules[name])
    return files


def _path(name: str, address: str) -> str:
    """Return the path of what a file names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), address))


def _imported(entries: Sequence[str], modules: Texts) -> Iterable[str]:
    """Return modules and all that they import, each after what it imports itself."""
    graph: dict[str, list[str]] = {}
    waiting = [*entries]
    for name in waiting:
        if name not in graph:
            found = _IMPORT.findall(modules[name])
            graph[name] = [_path(name, address) for *_, address in found]
            waiting += graph[name]
    return TopologicalSorter(graph).static_order()


def _whole(inside: Sequence[str], modules: Texts) -> str:
    functions = [_as_function(name, modules[name]) for name in inside]
    names = ", ".join(map(_variable, inside))
    return "".join([*functions, f"export {{ {names} }};\n"])


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "$", name.removesuffix(".js"))


def _constant(name: str, found: re.Match[str]) -> str:
    names, everything, address = found.groups()
    what = everything or names.replace(" as ", ": ")
    return f"const {what} = {_variable(_path(name, address))};"


def _as_function(name: str, text: str) -> str:
    exported = ", ".join(_EXPORT.findall(text))
    text = _IMPORT.sub(lambda found: _constant(name, found), text)
    text = _LATER.sub(lambda found: f'import("./{_path(name, found[1])}")', text)
    text = _EXPORT.sub("", text)
    if refused := _REFUSED.search(text):
        raise ValueError(f"{name} cannot be joined: {refused[0]}")
    return (
        f"const {_variable(name)} = (() => {{\n{text}return {{ {exported} }};\n}})();\n"
    )


def _with_imports_of(whole: str, inside: Collection[str], name: str, text: str) -> str:
    used: dict[str, None] = {}

    def constant(found: re.Match[str]) -> str:
        module = _path(name, found[3])
        if module not in inside:
            return found[0]
        used[_variable(module)] = None
        return _constant(name, found)

    text = _IMPORT.sub(constant, text)
    if not used:
        return text
    folder = "../" * name.count("/") or "./"
    return f'import {{ {", ".join(used)} }} from "{folder}{whole}";\n{text}'
