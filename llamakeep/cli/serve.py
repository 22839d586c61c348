"""`llamakeep serve`."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llamakeep.cli.environment import (
    check_models,
    origin_of,
    page_of,
    read_settings,
)
from llamakeep.cli.terminal import complain, give_up

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from llamakeep.settings import Settings
    from llamakeep.systemd import Manager

THREE_CALLS = """\
Open {origin} in a browser and log in as alice or bob, or try three calls:
  curl -X POST {origin}/login/ -H 'Content-Type: application/json' \
-d '{{"username": "alice", "password": "secret1"}}'
  curl -X POST {origin}/prompt/ -H 'Authorization: Bearer token_alice' \
-H 'Content-Type: application/json' \
-d '{{"prompt": "What is FastAPI and why is it useful?"}}'
  curl {origin}/history/ -H 'Authorization: Bearer token_alice'
"""

FIX = (
    "`--host` and `--port`, LLAMAKEEP_HOST and LLAMAKEEP_PORT, or `make run PORT=9000`"
)
METRICS_FIX = "LLAMAKEEP_METRICS_HOST and LLAMAKEEP_METRICS_PORT"

SETUP = """\
There are no users yet. This page creates the first administrator, once:
  {page}
So do POST /setup/ and, on this computer, `llamakeep user add --admin NAME`.
"""


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option(help="The address to listen on; else LLAMAKEEP_HOST, 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="The port, 0 for a free one; else LLAMAKEEP_PORT, 8000.",
        ),
    ] = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Create users alice (secret1) and bob (secret2); loopback only.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The file with upstreams and aliases; else LLAMAKEEP_CONFIG, "
            "llamakeep.toml if it is here."
        ),
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="The least important records to log.", case_sensitive=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many processes serve, on PostgreSQL; else LLAMAKEEP_WORKERS.",
        ),
    ] = None,
) -> None:
    """Serve the API until Ctrl-C."""
    import os

    from llamakeep.logs import set_up_logging
    from llamakeep.settings import variables
    from llamakeep.systemd import Manager

    manager = Manager(os.environ)

    settings = read_settings(
        host=host,
        port=port,
        demo=demo or None,
        config=config,
        log_level=log_level,
        workers=workers,
    )
    variables.pass_on_from_file()
    check_models(settings)
    if settings.workers > 1:
        from llamakeep.workers.parent import check_can_share

        check_can_share(settings)
    with ExitStack() as stack:
        listener = _passed(manager) or _listen(settings.host, settings.port, fix=FIX)
        listeners = [stack.enter_context(listener)]
        if settings.metrics_port is not None:
            address = settings.metrics_host, settings.metrics_port
            metrics = _listen(*address, fix=METRICS_FIX)
            listeners.append(stack.enter_context(metrics))
            _check_ports(*listeners)
        if settings.demo:
            _check_loopback(listener)
        set_up_logging(
            settings.log_level,
            log_format=settings.log_format,
            with_process=settings.workers > 1,
        )
        is_orderly = (
            _serve_here(settings, listeners, manager)
            if settings.workers == 1
            else _serve_with_workers(settings, listeners, manager)
        )
    if not is_orderly:
        give_up("Stopped before all runs had ended. Nothing that was kept is lost.")


def _serve_here(
    settings: "Settings", listeners: "list[socket.socket]", manager: "Manager"
) -> bool:
    """Serve in this process, and return whether it stopped in order."""
    import asyncio
    from functools import partial

    from llamakeep.garbage import disable_gc

    disable_gc()  # most of a start is imports

    from llamakeep import server
    from llamakeep.app import create_app
    from llamakeep.logs import open_access_log
    from llamakeep.storage import location, sqlite_is_current

    if settings.database_url.startswith("sqlite") and not sqlite_is_current():
        complain(
            "Warning: this SQLite is older than 3.51.3 and can, very rarely, corrupt a "
            "database. `pip install pysqlite3` brings a newer one where there is a "
            "wheel for it."
        )

    async def when_ready(app: "FastAPI") -> None:
        from llamakeep.app import offer_setup

        model, setup_token = await server.describe_model(app), await offer_setup(app)
        data = location(settings.database_url)
        addresses = [each.getsockname() for each in listeners]
        app.state.services.storage.name_server(origin_of(addresses[0], is_near=True))
        _announce(settings, addresses, model, data, setup_token)
        manager.ready()

    app = create_app(settings, access_log=open_access_log(settings))
    serving = server.serve(
        app,
        *listeners,
        when_ready=when_ready,
        new_server=partial(server.Server, is_kept=bool(manager.sockets)),
        until_exit=True,
        manager=manager,
    )
    try:
        server.run(serving)
    except asyncio.CancelledError:
        return False
    return True


def _serve_with_workers(
    settings: "Settings", listeners: "list[socket.socket]", manager: "Manager"
) -> bool:
    """Serve with worker processes, and return whether they stopped in order."""
    import asyncio

    from llamakeep.workers.child import Greeting
    from llamakeep.workers.parent import Parent
    from llamakeep.workers.sockets import Sockets

    addresses = [each.getsockname() for each in listeners]

    def when_ready(greeting: Greeting, setup_token: str | None) -> None:
        _announce(settings, addresses, greeting.model, greeting.data, setup_token)
        manager.ready()

    async def serve(sockets: Sockets, metrics: Sockets | None = None) -> bool:
        parent = Parent(settings, sockets, when_ready, manager, metrics=metrics)
        return await parent.run(until_exit=True)

    with ExitStack() as stack:
        listener, *metrics = listeners
        sockets = [Sockets(listener, is_kept=bool(manager.sockets))]
        sockets += map(Sockets, metrics)
        for each in sockets:
            stack.enter_context(each)
        return asyncio.run(serve(*sockets))


def _passed(manager: "Manager") -> "socket.socket | None":
    """Return the socket on which systemd listens for this service, if it does."""
    import socket

    if not manager.sockets:
        return None
    listener = manager.listener()
    families = {socket.AF_INET, socket.AF_INET6}
    if manager.sockets > 1 or listener.family not in families:
        listener.close()
        give_up(
            "Cannot serve on the sockets that systemd passed: exactly one is needed, "
            "with an address and a port. Write one `ListenStream=127.0.0.1:8000` into "
            "the socket unit.",
            code=2,
        )
    return listener


def _listen(host: str, port: int, *, fix: str) -> "socket.socket":
    """Bind the port before any slow import, so that an error is shown at once."""
    import errno
    import socket

    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        assert kind is socket.SOCK_STREAM
        return socket.create_server(
            (str(address[0]), int(address[1])), family=family, backlog=2048
        )
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        reason = "it is in use" if is_taken else (error.strerror or str(error)).lower()
        give_up(
            f"Cannot listen on {host}, port {port}: {reason}. Choose another one with "
            f"{fix}."
        )


def _check_ports(listener: "socket.socket", metrics: "socket.socket") -> None:
    """Refuse one port at two addresses: by it, requests for metrics are recognised."""
    port = metrics.getsockname()[1]
    if port == listener.getsockname()[1]:
        give_up(
            f"Metrics and all the rest are to be served on port {port}. Choose another "
            "LLAMAKEEP_METRICS_PORT, such as 9464.",
            code=2,
        )


def _check_loopback(listener: "socket.socket") -> None:
    from ipaddress import ip_address

    address = listener.getsockname()[0]
    if not ip_address(address).is_loopback:
        give_up(
            f"Demo mode has well-known passwords, so it is refused on {address}. Leave "
            "`--host` and LLAMAKEEP_HOST out, or `--demo` and LLAMAKEEP_DEMO.",
            code=2,
        )


def _announce(
    settings: "Settings",
    addresses: "list[tuple[Any, ...]]",
    model: str,
    data: str,
    setup_token: str | None,
) -> None:
    origin, *metrics = map(origin_of, addresses)
    is_terminal = sys.stdout.isatty()
    typer.echo(
        "llamakeep serves on "
        + (typer.style(origin, bold=True) if is_terminal else origin)
        + f" (documentation: {origin}/docs). Ctrl-C stops it."
    )
    typer.echo(f"Model: {model}")
    typer.echo(f"Data: {data}")
    for each in metrics:
        typer.echo(f"Metrics: {each}/metrics")
    if settings.workers > 1:
        rates = (settings.rate_limit, settings.address_rate_limit)
        counts = any((*rates, settings.login_rate_limit))
        together = ", which count requests together" if counts else ""
        typer.echo(f"Workers: {settings.workers}{together}")
    if settings.demo:
        typer.echo(THREE_CALLS.format(origin=origin), nl=False)
    if setup_token:
        near = origin_of(addresses[0], is_near=True)
        page = page_of(settings, f"/welcome#{setup_token}", origin=near)
        typer.echo(SETUP.format(page=page), nl=False)
    sys.stdout.flush()
