"""Tool calls in the text of a model that was told of its tools in the prompt."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from llamakeep.domain import Text, ToolCall
from llamakeep.providers.base import ItemBegun, ItemText, call_id_of

MOST_CALLS = 64
"""Calls that one answer may have; what follows is text."""
MOST_HELD = 256 * 1024
"""Characters of what may be a call; what is longer is text."""
MOST_SPACE = 1024
"""Characters of space before a call."""
_MOST_DEPTH = 64
_LONGEST_PROGRAM = 8 * 1024
"""Characters of calls in Python's words; these take long to read."""

Growth = str | ItemBegun | ItemText
Found = Sequence[tuple[str, str]]
"""Calls: the name of each, and its arguments as JSON."""

_TOKENS = ("<|python_start|>", "<|python_tag|>", "<|python_end|>")
_SPACE = r"[ \t\r\n]*"
_ANY_SPACE = re.compile(_SPACE)
_BEGINNING = re.compile(rf"{_SPACE}(?:<\|python_(?:start|tag)\|>{_SPACE})?")
_BETWEEN = re.compile(r"(?:[ \t\r\n;,]|<\|python_(?:start|tag|end)\|>)*")
_KEYS = ('"name"', '"parameters"', '"arguments"', '"type"')
_OUTSIDE = re.compile(r"""["'\[\]{}()]""")
_INSIDE = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}


class CallReader:
    """
    Tells calls from text, wherever a model's answer is cut into pieces.

    An answer is a text, or calls with perhaps a text behind them. A call is held back
    until it is whole, and anything that cannot become one is handed on at once. What is
    no call of a tool in `names`, to the letter, is text exactly as it came. The ids of
    calls are the same at each attempt at a run.
    """

    def __init__(
        self, run_id: str, names: Collection[str], *, most: int = MOST_CALLS
    ) -> None:
        self._run_id = run_id
        self._names = names
        self._most = most
        self._count = 0
        self._is_text = not names
        """Whether all that comes is text."""
        self._head = ""
        """What has not been told apart yet."""
        self._scan: _Scan | None = None
        """Of what began like a call; `_head` is what stood before."""

    @property
    def ends_with_call(self) -> bool:
        """Whether there was a call, and no text after it."""
        return bool(self._count) and not self._is_text

    def feed(self, text: str) -> Sequence[Growth]:
        """Return what an answer grows by with this piece of text."""
        growths: list[Growth] = []
        while text:
            if self._is_text:
                growths.append(text)
                break
            text = self._take(text, growths)
        return growths

    def end(self) -> Sequence[Growth]:
        """Return the rest, when nothing more comes."""
        if self._is_text:
            return []
        rest = self._head + (self._scan.text if self._scan is not None else "")
        between = _BETWEEN.fullmatch(rest) if self._count else None
        if not rest or between is not None:
            return []
        growths: list[Growth] = []
        self._begin_text(rest, growths)
        return growths

    def _take(self, text: str, growths: list[Growth]) -> str:
        """Take in some text, and return what comes after a call in it."""
        if self._scan is None:
            head = self._head + text
            lead = (_BETWEEN if self._count else _BEGINNING).match(head)
            assert lead is not None
            begin = lead.end()
            rest = head[begin:]
            may_be = self._may_be(rest) if begin <= MOST_SPACE else False
            if may_be is None:
                self._head = head
            elif may_be and self._count < self._most:
                self._head, self._scan = head[:begin], _Scan()
                return rest
            else:
                self._begin_text(head, growths)
            return ""
        end = self._scan.feed(text)
        if end is None:
            return ""
        held, rest = self._scan.text, text[end:] if end > 0 else ""
        found = _calls_in(held, self._names) if end > 0 else None
        if not found or self._count + len(found) > self._most:
            self._begin_text(self._head + held, growths)
            return rest
        self._head, self._scan = "", None
        for name, arguments in found:
            self._count += 1
            call_id = call_id_of(self._run_id, self._count)
            growths += [ItemBegun(ToolCall(call_id, name)), ItemText(arguments)]
        return rest

    def _begin_text(self, text: str, growths: list[Growth]) -> None:
        self._is_text, self._head, self._scan = True, "", None
        if self._count:
            growths.append(ItemBegun(Text()))
        growths.append(text)

    def _may_be(self, text: str) -> bool | None:
        """Return whether a call begins so, or `None` while that cannot be said."""
        if not text:
            return None
        options: Sequence[str] = _KEYS
        match text[0]:
            case "<":
                is_token = any(token.startswith(text) for token in _TOKENS)
                return None if is_token else False
            case "[":
                options = ["{", *[f"{name}(" for name in self._names]]
            case "{":
                pass
            case _:
                return False
        begin = _after(text, 1)
        may_be = _begins(text[begin:], options) if begin <= MOST_SPACE else False
        if may_be and text[begin] == "{":
            return self._may_be(text[begin:])
        return may_be


def _begins(text: str, options: Sequence[str]) -> bool | None:
    """Return whether a text begins with an option, or `None` if it may become so."""
    if text.startswith(tuple(options)):
        return True
    return None if any(option.startswith(text) for option in options) else False


class _Scan:
    """Finds the end of what begins with a bracket, in text that comes in pieces."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._depth = 0
        self._quote = ""
        self._is_escaped = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def feed(self, text: str) -> int | None:
        """
        Return where the end is in this text, `None` if later, or -1 if nowhere.

        The text is kept up to its end.
        """
        at = 0
        if self._is_escaped:
            self._is_escaped, at = False, 1
        while self._depth <= _MOST_DEPTH:
            pattern = _INSIDE[self._quote] if self._quote else _OUTSIDE
            found = pattern.search(text, at)
            if found is None:
                break
            at = found.end()
            mark = found[0]
            if mark == "\\":
                self._is_escaped = at == len(text)
                at += 1
            elif self._quote:
                self._quote = ""
            elif mark in _INSIDE:
                self._quote = mark
            elif mark in "[{(":
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth and self._length + at <= MOST_HELD:
                    self._keep(text[:at])
                    return at
                if not self._depth:
                    break
        self._keep(text)
        is_lost = self._length > MOST_HELD or self._depth > _MOST_DEPTH
        return -1 if is_lost else None

    def _keep(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)


def _calls_in(text: str, names: Collection[str]) -> Found | None:
    """Return the calls that a text is, if it is nothing else."""
    is_json = text[0] == "{" or text[1:].lstrip()[:1] == "{"
    read: Callable[[str], Iterator[tuple[str, str]]]
    read = _json_calls if is_json else _python_calls
    try:
        found = list(read(text))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    is_known = all(name in names for name, _ in found)
    return found if is_known else None


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON.")


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_int=str, parse_float=str)


def _json_calls(text: str) -> Iterator[tuple[str, str]]:
    """
    Yield the calls of an object such as `{"name": …}`, or of a list of them.

    The text ends where its first bracket is closed, so that nothing follows.
    """
    is_list = text[0] == "["
    at = _after(text, 1) if is_list else 0
    while True:
        fields, at = _fields(text, at)
        yield _call_of(fields)
        at = _after(text, at)
        if not is_list or text[at : at + 1] == "]":
            break
        at = _after(text, _skip(text, at, ","))


def _fields(text: str, at: int) -> tuple[dict[str, str], int]:
    """Return the fields of the object there, each as it is written, and its end."""
    fields: dict[str, str] = {}
    at = _skip(text, at, "{")
    while True:
        name, at = _DECODER.raw_decode(text, _after(text, at))
        begin = _after(text, _skip(text, _after(text, at), ":"))
        _, end = _DECODER.raw_decode(text, begin)
        if not isinstance(name, str) or name in fields:
            raise ValueError("It has no name, or one that another field has.")
        fields[name] = text[begin:end]
        at = _after(text, end)
        if text[at : at + 1] == "}":
            return fields, at + 1
        at = _skip(text, at, ",")


def _call_of(fields: dict[str, str]) -> tuple[str, str]:
    name = json.loads(fields.pop("name", "null"))
    kind = fields.pop("type", '"function"')
    [(field, arguments)] = fields.items()
    if field not in ("parameters", "arguments") or arguments[0] != "{":
        raise ValueError("It has no arguments.")
    if kind != '"function"' or not isinstance(name, str):
        raise ValueError("It is the call of something else.")
    return name, arguments


def _after(text: str, at: int) -> int:
    found = _ANY_SPACE.match(text, at)
    return at if found is None else found.end()


def _skip(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise ValueError(f"There is no {mark} at {at}.")
    return at + 1


_CONSTANTS = {"true": True, "false": False, "null": None}


def _python_calls(text: str) -> Iterator[tuple[str, str]]:
    """Yield the calls of a list such as `[get_weather(city="Jeju")]`."""
    if len(text) > _LONGEST_PROGRAM:
        raise ValueError("It is too long.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in texts
        calls = ast.parse(text, mode="eval").body
    if not isinstance(calls, ast.List) or not calls.elts:
        raise ValueError("It is no list of calls.")
    for call in calls.elts:
        match call:
            case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
                arguments = {str(one.arg): _value(one.value) for one in keywords}
            case _:
                raise ValueError("It is no call.")
        if len(arguments) < len(keywords) or any(not one.arg for one in keywords):
            raise ValueError("An argument has no name, or one that another has.")
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        yield name, written.encode().decode()  # no halves of characters


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(
            op=ast.USub(), operand=ast.Constant(value=int() | float() as number)
        ):
            return -number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(each) for each in elements]
        case ast.Dict(keys=keys, values=values):
            names = [_value(key) if key is not None else None for key in keys]
            if not all(isinstance(name, str) for name in names):
                raise ValueError("An object has a name that is no text.")
            if len(set(names)) < len(names):
                raise ValueError("An object has a name twice.")
            return dict(zip(names, map(_value, values), strict=True))
    raise ValueError("It is no value.")
