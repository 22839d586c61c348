"""Reading `llamakeep.toml`: all of it, and every mistake at once."""

import logging
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource

from llamakeep.domain import Limits, UserRole
from llamakeep.errors import wording
from llamakeep.settings.model import Settings
from llamakeep.settings.upstreams.aliases import AliasReader, meant
from llamakeep.settings.upstreams.keys import KeyReader
from llamakeep.settings.upstreams.lines import Lines
from llamakeep.settings.upstreams.model import (
    NAME,
    NONE,
    LocalUpstream,
    Mistake,
    OpenAIUpstream,
    ReplicateUpstream,
    RoleAccess,
    Upstream,
    UpstreamLimits,
    Upstreams,
    UpstreamsFault,
)

T = TypeVar("T", bound=BaseModel)

log = logging.getLogger(__name__)

FILE_NAME = "llamakeep.toml"
LARGEST = 4 * 1024 * 1024
"""How many bytes the file may have; a larger one is the wrong one."""
MOST_MISTAKES = 100
"""How many are told; more of them are mostly the same one."""
KINDS: Mapping[str, type[Upstream]] = {
    "openai": OpenAIUpstream,
    "replicate": ReplicateUpstream,
    "local": LocalUpstream,
}
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_TOP = ("upstreams", "aliases", "limits", "roles")
_ROLES = [each.value for each in UserRole]
_NEITHER = "is no table. Begin it with [upstreams.NAME]"


def path_of(settings: Settings) -> Path | None:
    """Return the file to read: the one in the settings, or the one that is here."""
    if settings.config is not None:
        return settings.config
    here = Path(FILE_NAME)
    # What is there and cannot be read is a mistake, and not as if it were not there.
    return here if os.path.lexists(here) else None


def read(
    settings: Settings, *, others: Mapping[str, Sequence[str] | None] | None = None
) -> Upstreams:
    """
    Return what the file says; without a file, nothing.

    Args:
        settings: They name the file.
        others: The upstreams that the environment has, with their models.

    Raises:
        UpstreamsFault: It has mistakes, or cannot be read.
    """
    path = path_of(settings)
    if path is None:
        return NONE
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"It cannot be read: {reason}. Correct LLAMAKEEP_CONFIG or `--config`"
        raise UpstreamsFault([Mistake(path, None, f"{message}.")]) from error
    if len(content) > LARGEST:
        raise UpstreamsFault([Mistake(path, None, "It is too large for a set-up.")])
    try:
        text = content.decode("utf-8-sig")  # some editors on Windows begin it so
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = "It is not text in UTF-8. Save it as UTF-8."
        raise UpstreamsFault([Mistake(path, line, message)]) from error
    return read_text(text, path, settings, others=others)


def read_text(
    text: str,
    path: Path,
    settings: Settings,
    *,
    others: Mapping[str, Sequence[str] | None] | None = None,
    keys: Mapping[str, str] = MappingProxyType({}),
) -> Upstreams:
    """
    Return what the text of a file says; see `read`.

    The `keys` of some upstreams are known already, and not read again.

    Raises:
        UpstreamsFault: It has mistakes.
    """
    try:
        given = tomllib.loads(text)
    except RecursionError as error:
        mistake = Mistake(
            path, None, "It is nested too deep. Name each table by itself."
        )
        raise UpstreamsFault([mistake]) from error
    except ValueError as error:  # of TOML, or a number with very many digits
        message = str(error)
        at = _AT_LINE.search(message)
        line = int(at[1]) if at else text.count("\n") + 1
        if not isinstance(error, tomllib.TOMLDecodeError):
            line, message = 1, "A number has too many digits"
        said = _AT_LINE.sub("", message).removesuffix(" (at end of document)")
        fix = " Each upstream needs a name of its own." if "declare" in said else ""
        mistake = Mistake(path, line, f"It is no TOML: {said}.{fix}")
        raise UpstreamsFault([mistake]) from error
    found = of_environment(settings) if others is None else others
    return _Reader(given, text, path, keys).read(found)


def with_local(settings: Settings, upstreams: Upstreams) -> Settings:
    """Return the settings with what the file says of the embedded model."""
    local = upstreams.local
    if local is None or upstreams.path is None:
        return settings
    said: dict[str, Any] = {
        "local_model": local.file and upstreams.path.parent / local.file.expanduser(),
        "local_threads": local.threads,
        "local_slots": local.slots,
        "local_context": local.context,
    }
    new = {
        name: value
        for name, value in said.items()
        if value is not None and name not in settings.model_fields_set
    }
    return settings.model_copy(update=new) if new else settings


def of_environment(settings: Settings) -> Mapping[str, Sequence[str] | None]:
    """Return the upstreams that variables have, with their models if they are few."""
    found: dict[str, Sequence[str] | None] = {}
    if settings.replicate_api_token is not None:
        found["replicate"] = None
    if settings.openai_base_url is not None:
        found["openai"] = settings.openai_models or None
    if settings.local_model != Path("none"):
        found["local"] = None
    return found


class _Reader:
    def __init__(
        self, given: Mapping[str, Any], text: str, path: Path, keys: Mapping[str, str]
    ) -> None:
        self._given = given
        self._known_keys = keys
        self._text = text
        self._path = path
        self._lines = Lines(text)
        self._mistakes: list[Mistake] = []
        try:
            in_file = DotEnvSettingsSource(Settings, case_sensitive=True).env_vars
        except (OSError, ValueError) as error:
            message = "It cannot be read as text in UTF-8. Correct it, or remove it."
            raise UpstreamsFault([Mistake(Path(".env"), None, message)]) from error
        variables = {**in_file, **os.environ}
        self._keys = KeyReader(variables, path.parent, self._report)

    def read(self, others: Mapping[str, Sequence[str] | None]) -> Upstreams:
        given = self._given
        for name in given:
            if name not in _TOP:
                self._report((name,), f"{name!r} {_unknown(name, _TOP)}")
        upstreams = {}
        for name, table in self._table("upstreams").items():
            upstream = self._upstream(name, table)
            if upstream is not None:
                upstreams[name] = upstream
        for name in others.keys() & upstreams.keys() - {"local"}:
            log.warning("upstreams.%s is ignored: variables set another one", name)
            del upstreams[name]
        # What is wrong in itself is still there: an alias that names it is not wrong.
        wrong = dict.fromkeys(self._table("upstreams"))
        for name in upstreams:
            wrong.pop(name, None)
        reader = AliasReader(
            self._table("aliases"), upstreams, {**wrong, **others}, self._report
        )
        aliases = reader.read()
        known = [*wrong, *upstreams, *others]
        limits = self._limits(known, [*aliases])
        roles = self._roles(known, [*aliases])
        if self._mistakes:
            raise self._fault()
        return Upstreams(self._path, self._text, upstreams, aliases, limits, roles)

    def _limits(
        self, upstreams: Sequence[str], aliases: Sequence[str]
    ) -> Mapping[str, Limits]:
        found = {}
        known = [*upstreams, *aliases]
        for name, table in self._table("limits").items():
            place = ("limits", name)
            if name not in known:
                self._report(
                    place,
                    f"limits.{name}: there is no such upstream or alias"
                    f"{meant(name, known)}. Name one of: {', '.join(known)}.",
                )
            elif not isinstance(table, dict):
                self._report(
                    place, f"limits.{name} is no table. Begin it with [limits.{name}]."
                )
            elif "concurrent_runs" in table and name not in aliases:
                self._report(
                    (*place, "concurrent_runs"),
                    f"limits.{name}.concurrent_runs is for aliases. Set `parallel` of "
                    "the upstream instead, for which prompts wait.",
                )
            else:
                limits = self._checked(UpstreamLimits, table, place)
                if limits is not None:
                    found[name] = limits.limits
        return found

    def _roles(
        self, upstreams: Sequence[str], aliases: Sequence[str]
    ) -> Mapping[str, frozenset[str]]:
        found = {}
        for name, table in self._table("roles").items():
            place = ("roles", name)
            if name not in _ROLES:
                self._report(place, f"roles.{name} {_unknown(name, _ROLES)}")
            elif not isinstance(table, dict):
                self._report(
                    place, f"roles.{name} is no table. Begin it with [roles.{name}]."
                )
            elif (access := self._checked(RoleAccess, table, place)) is not None:
                found[name] = frozenset(access.models)
                for model in access.models:
                    upstream, colon, _ = model.partition(":")
                    if not (upstream in upstreams if colon else model in aliases):
                        near = meant(model, [*aliases, *(f"{u}:*" for u in upstreams)])
                        self._report(
                            (*place, "models"),
                            f"roles.{name}.models: {model!r} is no alias, and no model "
                            f"of an upstream{near}. Write an alias, `upstream:model`, "
                            "or `upstream:*` for all of its models.",
                            model,
                        )
        return found

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self._given.get(name, {})
        if isinstance(table, dict):
            return table
        self._report((name,), f"{name} {_NEITHER.replace('upstreams', name)}.")
        return {}

    def _report(
        self, place: Sequence[str], message: str, mentioned: str | None = None
    ) -> None:
        line = self._lines.of(place, mentioned)
        self._mistakes.append(Mistake(self._path, line, message))
        if len(self._mistakes) == MOST_MISTAKES:
            raise self._fault()

    def _fault(self) -> UpstreamsFault:
        ordered = sorted(self._mistakes, key=lambda one: one.line or 0)
        return UpstreamsFault([*dict.fromkeys(ordered)])

    def _upstream(self, name: str, table: Any) -> Upstream | None:
        place = ("upstreams", name)
        if not isinstance(table, dict):
            self._report(place, f"upstreams.{name} {_NEITHER}.")
            return None
        if not re.fullmatch(NAME, name):
            self._report(
                place,
                f"{name!r} is no name for an upstream. Take up to 32 letters, digits, "
                "hyphens, dots and underscores.",
            )
        kind = table.get("kind")
        known = KINDS.get(kind) if isinstance(kind, str) else None
        if known is None:
            said = "is missing" if kind is None else f"is {kind!r}"
            near = meant(kind, [*KINDS]) if isinstance(kind, str) else ""
            self._report(
                (*place, "kind"),
                f"upstreams.{name}.kind {said}{near}. Set it to one of: "
                f"{', '.join(KINDS)}.",
            )
            return None
        if (name == "local") != (known is LocalUpstream):
            self._report(
                (*place, "kind"),
                "There is one embedded model: its upstream is of the kind `local`, and "
                "is called `local`. Call this one otherwise.",
            )
        upstream = self._checked(known, table, place)
        return None if upstream is None else self._with_key(name, upstream)

    def _checked(self, known: type[T], table: Any, place: Sequence[str]) -> T | None:
        """Return what a table says, or report what is wrong in it."""
        try:
            return known.model_validate(table)
        except ValidationError as error:
            for wrong in error.errors(include_url=False, include_input=False):
                self._wrong(place, known, wrong)
            return None

    def _wrong(
        self, place: Sequence[str], known: type[BaseModel], wrong: Mapping[str, Any]
    ) -> None:
        inner = [str(part) for part in wrong["loc"] if part != "[key]"]
        path = (*place, *inner)
        shown = ".".join(path)
        if wrong["type"] == "extra_forbidden":
            keys = [each for each in known.model_fields if each != "key"]
            if len(inner) > 1:
                keys = [*_keys_inside(known, inner[0])]
            self._report(path, f"{shown} {_unknown(inner[-1], keys)}")
        elif wrong["type"] == "missing":
            self._report(path, f"{shown} is missing. Add `{inner[-1]} = …`.")
        else:
            message = wording.wording_of(wrong).rstrip(".")
            self._report(path, f"{shown}: {message[:1].upper()}{message[1:]}.")

    def _with_key(self, name: str, upstream: Upstream) -> Upstream:
        if isinstance(upstream, LocalUpstream):
            return upstream
        if (known := self._known_keys.get(name)) is not None:
            key: SecretStr | None = SecretStr(known)
        else:
            key = self._keys.key_of(name, upstream)
        return upstream if key is None else upstream.model_copy(update={"key": key})


def _keys_inside(known: type[BaseModel], key: str) -> Sequence[str]:
    """Return what may be in the tables of `prices` and `capabilities`."""
    field = known.model_fields.get(key)
    arguments = getattr(field.annotation, "__args__", ()) if field else ()
    inside = [each for each in arguments if hasattr(each, "model_fields")]
    return [*inside[0].model_fields] if inside else []


def _unknown(name: str, known: Sequence[str]) -> str:
    near = meant(name, known)
    return f"is not known{near}. Known are: {', '.join(known)}."
