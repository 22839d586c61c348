"""`llamakeep ask`."""

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llamakeep.cli.environment import check_models, local_username, read_settings
from llamakeep.cli.screen import Screen
from llamakeep.cli.terminal import (
    give_up,
    read_password,
    spinning,
    write,
)
from llamakeep.errors import DatabaseInUse

if TYPE_CHECKING:
    from llamakeep.domain import NewRun


def ask(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The prompt; `-`, or none in a pipe, for standard input."),
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option(help="`provider:model`, or a model's bare id.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="How the model is to behave.")
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Continue this conversation.")
    ] = None,
    previous: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Continue after this run of your history, or `none`."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest response, in tokens.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="LLAMAKEEP_SERVER",
            help="Use this llamakeep server instead of the settings and the database "
            "of this computer.",
        ),
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(
            help="Your username; without `--server`, by default your system's user "
            "name. With `--server`, there is a prompt for the password; without it, "
            "LLAMAKEEP_ACCESS_TOKEN or the login of `llamakeep login` is used.",
        ),
    ] = None,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="With `--server`: read the password from standard input.",
        ),
    ] = False,
    access_token: Annotated[
        str | None, typer.Option(envvar="LLAMAKEEP_ACCESS_TOKEN", hidden=True)
    ] = None,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="Store nothing.")
    ] = False,
) -> None:
    """Send a prompt to a model, and store prompt and response."""
    from llamakeep.domain import NewRun, Parameters
    from llamakeep.domain.runs import FOLLOWS_NOTHING

    if password_stdin and (server is None or username is None or prompt in {None, "-"}):
        raise typer.BadParameter(
            "It goes with `--server`, `--username` and a prompt on the command line.",
            param_hint="--password-stdin",
        )
    if conversation is None and previous == FOLLOWS_NOTHING:
        previous = None  # as it begins a conversation
    if conversation is not None and previous not in {None, FOLLOWS_NOTHING}:
        raise typer.BadParameter(
            "It goes without `--conversation`, since a run is in one; but `none` "
            "goes with it.",
            param_hint="--previous",
        )
    asked = NewRun(
        prompt=_read_prompt(prompt),
        model=model,
        system_prompt=system,
        conversation_id=conversation,
        previous_run_id=previous,
        source="command-line",
        parameters=Parameters(max_tokens=max_tokens),
    )
    if no_history:
        if server or system or conversation or previous or max_tokens:
            raise typer.BadParameter(
                "It goes with `--model` only.", param_hint="--no-history"
            )
        _ask_and_forget(asked)
    elif server is None:
        _ask_here(asked, username or local_username())
    else:
        password = None
        if username is not None:
            password = read_password(username, from_stdin=password_stdin)
        _ask_server(asked, server, username, access_token, password)


def _ask_here(asked: "NewRun", username: str) -> None:
    from llamakeep.cli.ask_here import ask_here
    from llamakeep.providers.creating import create_registry

    settings = read_settings()
    check_models(settings)
    registry = create_registry(settings)
    try:
        _show(lambda screen: ask_here(settings, asked, username, screen, registry))
    except DatabaseInUse as error:
        where = error.server or "URL"
        raise DatabaseInUse(
            f"{error.detail} For example: llamakeep ask --server {where} "
            "--username NAME …"
        ) from error


def _ask_server(
    asked: "NewRun",
    server: str,
    username: str | None,
    access_token: str | None,
    password: str | None,
) -> None:
    from llamakeep.cli.remote.asking import ask_server

    if username is not None:
        access_token = None
    elif access_token is None:
        access_token = _kept_token(server)
    _show(
        lambda screen: ask_server(
            asked,
            server,
            screen,
            access_token=access_token,
            username=username,
            password=password,
        )
    )


def _kept_token(server: str) -> str:
    """Return the access token of `llamakeep login`, or end the command."""
    from llamakeep.cli.remote import logins

    kept = logins.find(server)
    if kept is None:
        give_up(
            f"Log in with `llamakeep login {server}`, say who you are with "
            "`--username NAME`, or set LLAMAKEEP_ACCESS_TOKEN.",
            code=2,
        )
    if kept.is_over:
        give_up(f"Your login is over: `llamakeep login {server}`.")
    return kept.token


def _ask_and_forget(asked: "NewRun") -> None:
    import asyncio

    from llamakeep import run_llama

    settings = read_settings()
    check_models(settings)
    with spinning("Thinking"):
        text = asyncio.run(
            run_llama(asked.prompt, model=asked.model, settings=settings)
        )
    write(text + "\n")


def _show(answer: Callable[[Screen], Coroutine[Any, Any, str]]) -> None:
    """Write a response while it is streamed, and how to continue the conversation."""
    import asyncio

    with spinning("Waiting for the first word") as spinner:
        screen = Screen(spinner)
        try:
            conversation_id = asyncio.run(answer(screen))
        finally:
            screen.end_line()
    if sys.stderr.isatty():
        hint = f"Continue it with --conversation {conversation_id}"
        typer.secho(hint, dim=True, err=True)


def _read_prompt(given: str | None) -> str:
    from llamakeep.schemas.text import check_not_blank, check_text

    if given is None and sys.stdin.isatty():
        raise typer.BadParameter("There is none.", param_hint="PROMPT")
    try:
        if given is None or given == "-":
            given = sys.stdin.buffer.read().decode().rstrip("\r\n")
        return check_not_blank(check_text(given))
    except UnicodeDecodeError as error:
        raise typer.BadParameter("It is not UTF-8.", param_hint="PROMPT") from error
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="PROMPT") from error
