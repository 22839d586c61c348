"""
The page's modules and styles, joined: a browser asks for one file instead of seventy.

In a joined file each module is a function that runs once, after those that it imports,
and returns what it exports. Comments and indentation are left out of all that is sent.
This goes by lines, as `deno fmt` writes them; a module that says something in another
way is refused, which any request for a page shows.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

Texts = Mapping[str, str]
"""Files by their paths in the folder."""

PAGES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "index.html": {
        "main.js": ("views/conversation.js",),
        "text/growing.js": (),
    },
    "docs.html": {"docs/main.js": ()},
}
"""
For each page, the modules that get all that they import, with others that need it.

What those before a module have is not in it again. The others stay files of their own,
and import from it. A page starts with its first module and those beside it; modules
that are named nowhere are loaded when they are needed, by the first page.
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


def joined(texts: Texts) -> Iterator[tuple[str, str]]:
    """
    Return what browsers get for these files: paths and texts.

    Raises:
        ValueError: A module is written in a way that cannot be joined.
    """
    modules = {name: text for name, text in texts.items() if name.endswith(".js")}
    for file in _files(modules):
        yield file.path, file.text(modules)
    for name, text in texts.items():
        if name.endswith(".css"):
            yield name, shortened(_style(name, texts))
        elif name not in modules:
            yield name, text


def shortened(text: str) -> str:
    """
    Return a module or style without comments, indentation and empty lines.

    No text in a module spans lines: see `tests/page_units/sources_test.js`.
    """
    return _INDENTATION.sub("", _TYPE.sub("", _COMMENT.sub("", text)))


def _style(name: str, texts: Texts) -> str:
    """Return a style with those that it imports in their places."""

    def imported(found: re.Match[str]) -> str:
        text = texts[_path(name, found[1])]
        return f"@media {found[2]} {{\n{text}}}" if found[2] else text

    return _STYLE.sub(imported, texts[name])


def _files(modules: Texts) -> Iterable["_File"]:
    """Return joined modules, and those that stay alone and import from them."""
    files: dict[str, _File] = {}
    places = {page: _places(wholes, modules) for page, wholes in PAGES.items()}
    for page, wholes in PAGES.items():
        for name in _entries(wholes):
            files[name] = _File(name, places[page])
    first, *_ = places.values()
    for name in modules:
        if name not in first:
            files.setdefault(name, _File(name, first))
    return files.values()


def _places(wholes: Mapping[str, Sequence[str]], modules: Texts) -> Texts:
    """Return in which file each module is, each after those that it imports."""
    places: dict[str, str] = {}
    entries = _entries(wholes)
    for whole, others in wholes.items():
        for name in _imported([whole, *others], modules):
            if name not in entries:
                places.setdefault(name, whole)
    return places


def _entries(wholes: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the modules that are files."""
    return [each for whole, others in wholes.items() for each in (whole, *others)]


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


def _path(name: str, address: str) -> str:
    """Return the path of what a file names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), address))


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "$", name.removesuffix(".js"))


class _File:
    """
    A file that is made.

    Args:
        path: Where it is.
        places: In which file each joined module is.
    """

    def __init__(self, path: str, places: Texts) -> None:
        self.path = path
        self._places = places
        self._used: dict[str, set[str]] = {}

    def text(self, modules: Texts) -> str:
        """Return what is in it."""
        inside = [name for name, file in self._places.items() if file == self.path]
        functions = [self._as_function(name, modules[name]) for name in inside]
        own = shortened(self._with_constants(self.path, modules[self.path]))
        names = ", ".join(map(_variable, inside))
        exported = f"export {{ {names} }};\n" if inside else ""
        return "".join([self._imports(), *functions, own, exported])

    def _imports(self) -> str:
        folder = "../" * self.path.count("/") or "./"
        return "".join(
            f'import {{ {", ".join(sorted(names))} }} from "{folder}{file}";\n'
            for file, names in self._used.items()
        )

    def _as_function(self, name: str, text: str) -> str:
        exported = ", ".join(_EXPORT.findall(text))
        text = self._with_constants(name, text)
        text = _LATER.sub(lambda found: f'import("./{_path(name, found[1])}")', text)
        text = _EXPORT.sub("", text)
        if refused := _REFUSED.search(text):
            raise ValueError(f"{name} cannot be joined: {refused[0]}")
        return (
            f"const {_variable(name)} = (() => {{\n{shortened(text)}"
            f"return {{ {exported} }};\n}})();\n"
        )

    def _with_constants(self, name: str, text: str) -> str:
        """Return a module that takes what it imports from joined ones."""

        def constant(found: re.Match[str]) -> str:
            names, everything, address = found.groups()
            module = _path(name, address)
            file = self._places.get(module)
            if file is None:
                return found[0]
            if file != self.path:
                self._used.setdefault(file, set()).add(_variable(module))
            what = everything or names.replace(" as ", ": ")
            return f"const {what} = {_variable(module)};"

        return _IMPORT.sub(constant, text)
