"""`llamakeep login` and `llamakeep logout`: this user's login at a server."""

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from llamakeep.cli.terminal import complain, give_up

if TYPE_CHECKING:
    from llamakeep.cli.remote.logins import KeptLogin

Server = Annotated[
    str,
    typer.Argument(
        metavar="URL", envvar="LLAMAKEEP_SERVER", help="Where the server is."
    ),
]


def login(
    server: Server,
    *,
    browser: Annotated[
        bool, typer.Option("--browser", help="Open the address in a browser.")
    ] = False,
) -> None:
    """
    Log in at a server through its page, however you are logged in there.

    It prints an address. The page there asks you, and shows a code, which you paste
    here. Then `llamakeep ask --server URL` needs no password. The login is kept in a
    file that only you can read, and ends when the one in the browser would.
    """
    import asyncio

    from llamakeep.cli.remote import logins
    from llamakeep.cli.remote.caller import own_name, with_scheme

    verifier = secrets.token_urlsafe(32)
    challenge = sha256(verifier.encode()).hexdigest()
    name = quote(own_name(), safe="@")
    address = f"{with_scheme(server).rstrip('/')}/terminal#{challenge}.{name}"
    check = f"{challenge[:4]}-{challenge[4:8]}".upper()
    typer.echo(
        f"Open this address in a browser:\n  {address}\n"
        f"The page has to show {check}. Say yes there, and paste its code here.",
        err=True,
    )
    if browser:
        typer.launch(address)
    code = typer.prompt("Code", err=True, value_proc=_read_code)
    logins.keep(server, asyncio.run(exchange(server, code, verifier)))
    typer.echo(f"You are logged in at {server}: `llamakeep ask --server {server} …`")


def logout(server: Server) -> None:
    """End your login at a server, and delete it here."""
    import asyncio

    from llamakeep.cli.remote import logins
    from llamakeep.errors import LlamaKeepError, Unauthenticated

    kept = logins.find(server)
    if kept is None:
        give_up(f"You have no login at {server}.")
    try:
        asyncio.run(end(server, kept.token))
    except Unauthenticated:
        pass  # it has ended already
    except LlamaKeepError as error:
        logins.forget(server)
        complain(f"{error.detail} The login is deleted here, and still valid there.")
        give_up(f"End it on the page, under Settings; it ends at {kept.expires_at}.")
    logins.forget(server)
    typer.echo(f"You are logged out at {server}.")


def _read_code(typed: str) -> str:
    from llamakeep.credentials.tokens import is_login_code

    if not is_login_code(typed.strip()):
        raise typer.BadParameter("That is no whole code of the page; it begins lkc_.")
    return typed.strip()


async def exchange(server: str, code: str, verifier: str) -> "KeptLogin":
    """
    Return the login that a code of the page is good for.

    Raises:
        LoginCodeRefused: The code is too old, used, or for another program.
        LlamaKeepError: The server's error, or it cannot be reached.
    """
    from llamakeep.cli.remote.caller import calling, token_in
    from llamakeep.cli.remote.logins import KeptLogin

    async with calling(server) as caller:
        body = {"code": code, "verifier": verifier}
        found = await caller.fetch("POST", "/login/code/", body)
    return KeptLogin(token_in(found), expires_at=str(found.get("expires_at")))


async def end(server: str, access_token: str) -> None:
    """End a login."""
    from llamakeep.cli.remote.caller import calling

    async with calling(server, access_token=access_token) as caller:
        await caller.fetch("POST", "/logout/")
