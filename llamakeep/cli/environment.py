"""What commands share: reading settings, opening the database, finding users."""

import getpass
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import typer

from llamakeep.cli.terminal import complain, give_up
from llamakeep.errors import (
    DatabaseMissing,
    DatabaseOutdated,
    FieldError,
    InvalidRequest,
)

if TYPE_CHECKING:
    from llamakeep.domain import Actor, User
    from llamakeep.settings import Settings
    from llamakeep.storage import Storage

NEEDED = {
    "openai": "set LLAMAKEEP_OPENAI_BASE_URL, and list it in LLAMAKEEP_OPENAI_MODELS "
    "if that is set",
    "replicate": "set REPLICATE_API_TOKEN",
    "local": "set LLAMAKEEP_LOCAL_MODEL, and install `llamakeep[local]`",
}
"""By provider: the settings that it needs."""


def read_settings(**given: Any) -> "Settings":
    """
    Return the settings; `given` ones that are not `None` override the environment's.

    If any are invalid, the command ends with a line for each.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from llamakeep.settings import Settings, variables
    from llamakeep.settings.upstreams import UpstreamsFault, read, with_local

    try:
        settings = Settings(
            **{name: value for name, value in given.items() if value is not None}
        )
        settings = with_local(settings, read(settings))
        for warning in variables.warnings():
            complain(f"WARNING: {warning}")
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            complain(variables.wording_of(wrong))
        raise typer.Exit(2) from error
    except UpstreamsFault as error:
        for mistake in error.mistakes:
            complain(str(mistake))
        raise typer.Exit(2) from error
    except (SettingsError, UnicodeDecodeError) as error:
        give_up(f"The settings cannot be read: {error}.", code=2)
    return settings


def origin_of(address: tuple[Any, ...], *, is_near: bool = False) -> str:
    """Return the URL of a listening address, for clients or for this computer."""
    host, port, *_ = address
    if is_near:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def page_of(settings: "Settings", path: str, *, origin: str) -> str:
    """Return the address of a page; `origin` is where a server without a proxy is."""
    if settings.public_url is not None:
        return str(settings.public_url).rstrip("/") + path
    return origin + settings.path_prefix + path


def check_models(settings: "Settings") -> None:
    """End the command if no configured provider serves the default model."""
    import asyncio

    from llamakeep.errors import LlamaKeepError
    from llamakeep.providers.creating import create_registry
    from llamakeep.providers.local.weights import weights_fault

    fault = weights_fault(settings)
    if fault and (settings.replicate_api_token or settings.openai_base_url):
        # Without another provider, the line about the default model has it.
        complain(f"WARNING: {fault}")
    if settings.default_model is None:
        return
    registry = create_registry(settings)

    async def check() -> None:
        try:
            await registry.resolve(settings.default_model)
        finally:
            await registry.close()

    try:
        asyncio.run(check())
    except LlamaKeepError:
        provider = settings.default_model.partition(":")[0]
        needed = NEEDED.get(provider, "the provider that serves it has to be set")
        give_up(
            f"LLAMAKEEP_DEFAULT_MODEL: no provider that is configured serves "
            f"{settings.default_model!r}: {needed}.",
            code=2,
        )


@asynccontextmanager
async def open_database(url: str) -> "AsyncIterator[Storage]":
    """
    Open the database, also while a server owns it; create it if it is missing.

    It is opened as a guest if possible, since an owner would keep a server from
    starting meanwhile.
    """
    from llamakeep.storage import open_storage

    async with AsyncExitStack() as stack:
        try:
            storage = await stack.enter_async_context(open_storage(url, is_owner=False))
        except (DatabaseMissing, DatabaseOutdated):
            storage = await stack.enter_async_context(open_storage(url))
        yield storage


@asynccontextmanager
async def open_user(
    settings: "Settings", username: str
) -> "AsyncIterator[tuple[Storage, User]]":
    """
    Open the database, and find a user in it.

    Raises:
        InvalidRequest: There is no such user.
    """
    async with open_database(settings.database_url) as storage:
        yield storage, await get_user(storage, username)


async def get_user(storage: "Storage", username: str) -> "User":
    """
    Return the user of that name.

    Raises:
        InvalidRequest: There is none.
    """
    known = await storage.find_credentials(username)
    if known is None:
        message = (
            f"There is no user {username!r}. `llamakeep user list` shows all users."
        )
        if username == local_username():
            message += " The first `llamakeep ask` adds yours."
        raise InvalidRequest(message, errors=[FieldError("username", message)])
    return known.user


async def get_or_add_user(storage: "Storage", username: str) -> "User":
    """Return the user of that name; create one without a password if there is none."""
    known = await storage.find_credentials(username)
    if known:
        return known.user
    return await storage.add_user(username, None, actor=local_actor())


def local_actor() -> "Actor":
    """Return the operating system's user as an actor, for the audit log."""
    from llamakeep.domain import Actor

    return Actor(address="command line", user_agent=local_username())


def local_username() -> str:
    """Return the operating system's name of the user."""
    try:
        return getpass.getuser()[:64]
    except (OSError, KeyError):  # a user id without a name, as in some containers
        return "local"
