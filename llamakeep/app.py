"""The application: creates the server from its settings."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from llamakeep import __version__
from llamakeep.api import anthropic, openai, replicate
from llamakeep.api.accounts import (
    admin,
    invitations,
    keys,
    limits,
    login,
    login_codes,
    login_cookie,
    logins,
    me,
    sign_in,
    user_keys,
)
from llamakeep.api.accounts import passwords as accounts
from llamakeep.api.accounts.demo import LoopbackOnly, add_demo_users
from llamakeep.api.dialects import dialect_of
from llamakeep.api.events import routes as events
from llamakeep.api.history import conversations
from llamakeep.api.history import import_routes as history_import
from llamakeep.api.history import routes as history
from llamakeep.api.http import about, documentation, health, metrics, problems
from llamakeep.api.middleware.body_limit import BodyLimit
from llamakeep.api.middleware.browsers import allow_origins
from llamakeep.api.middleware.direct import DirectRoutes
from llamakeep.api.middleware.forwarded import believe_proxies
from llamakeep.api.middleware.outermost import Outermost
from llamakeep.api.middleware.rates import limit_rates, shared_counts
from llamakeep.api.nodes.app import create_node_app
from llamakeep.api.page.files import Files
from llamakeep.api.page.routes import file_route, page_routes
from llamakeep.api.prompts import models
from llamakeep.api.prompts import routes as prompt
from llamakeep.api.webhooks import incoming as webhooks
from llamakeep.api.webhooks import secrets as webhook_secrets
from llamakeep.api.webhooks.bodies import render
from llamakeep.credentials.passwords import Passwords
from llamakeep.credentials.tokens import digest, new_setup_token
from llamakeep.deletion.retention import Retention
from llamakeep.deletion.users import Purging
from llamakeep.engine import Engine
from llamakeep.engine.gauges import Gauges
from llamakeep.engine.providers import Figures
from llamakeep.engine.routing.access import Access
from llamakeep.errors import LlamaKeepError, StorageUnavailable
from llamakeep.http.methods import HeadAndOptions
from llamakeep.limits.rates import Counts, OwnCounts
from llamakeep.limits.throttle import LoginThrottle, Throttle
from llamakeep.logs.access import AccessLog
from llamakeep.metrics.families import Snapshot
from llamakeep.metrics.http import Responses
from llamakeep.nodes.changes import ToldChanges
from llamakeep.nodes.listening import Listening, listen
from llamakeep.nodes.mirrors import Mirrors
from llamakeep.nodes.peers import Peers, place
from llamakeep.providers.base import Provider
from llamakeep.providers.creating import create_registry
from llamakeep.providers.described import KnownModels
from llamakeep.providers.facts import UpstreamFacts
from llamakeep.providers.local.supervisor import Supervisor
from llamakeep.providers.registry import Registry
from llamakeep.providers.reloading import Reloading
from llamakeep.services import Services
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import NONE, Upstreams, read
from llamakeep.sign_in import open_provider
from llamakeep.storage import Storage, open_storage
from llamakeep.tracing import open_tracer
from llamakeep.webhooks.addresses import Guard
from llamakeep.webhooks.delivery import Notifier
from llamakeep.webhooks.posting import Poster

PATHS_WITH_IMAGES = (
    "/prompt",
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/responses/compact",
)

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    providers: Sequence[Provider] | None = None,
    supervisor: Supervisor | None = None,
    counts: Counts | None = None,
    throttle: Throttle | None = None,
    count_all: Callable[[], Awaitable[Snapshot]] | None = None,
    dead_nodes: Sequence[str] = (),
    access_log: AccessLog | None = None,
    reloads_page: bool = False,
    upstreams: Upstreams | None = None,
    here: str | None = None,
) -> FastAPI:
    """
    Create the server; its lifespan opens and closes all resources.

    Args:
        settings: The server's settings.
        providers: The providers, instead of those in the settings.
        supervisor: Runs the embedded model; by default, this process does.
        counts: Where requests are counted if Valkey is not set; by default, here.
        throttle: Where failed logins are counted; by default, here.
        count_all: Returns the metrics of all workers; by default, this process's.
        dead_nodes: Nodes whose processes have ended; their leases are released.
        access_log: Gets a line for each request.
        reloads_page: Whether changes of the page's files count at once.
        upstreams: What `llamakeep.toml` says; by default, it is read.
        here: Names the machine for nodes on the same one; by default, the system does.
    """
    counts = shared_counts(settings) or counts or OwnCounts()
    responses = Responses()
    provider = open_provider(settings)
    tracer = open_tracer(settings, version=__version__)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        said = NONE
        if providers is None:
            said = read(settings) if upstreams is None else upstreams
            registry = create_registry(settings, supervisor, said)
        else:
            registry = Registry(
                providers,
                default_model=settings.default_model,
                prices=settings.prices,
                facts={
                    "openai": UpstreamFacts(extra_fields=settings.openai_extra_fields)
                },
            )
        async with AsyncExitStack() as stack:
            # Whatever fails to open, or to close, everything before it is closed.
            if access_log is not None:
                stack.callback(access_log.flush)
            if tracer is not None:
                stack.push_async_callback(tracer.close)
            storage = await stack.enter_async_context(
                open_storage(
                    settings.database_url, direct_url=settings.database_direct_url
                )
            )
            stack.push_async_callback(counts.close)
            passwords = Passwords(settings.password_slots)
            stack.push_async_callback(passwords.close)
            stack.push_async_callback(registry.close)
            if settings.demo:
                await add_demo_users(storage)
            engine = Engine(settings, storage, registry, tracer)
            engine.metrics.collectors.append(responses.collect)
            await _release(storage, dead_nodes)
            warm_up = asyncio.create_task(registry.warm_up())
            stack.push_async_callback(_stop, warm_up)
            if settings.webhooks:
                poster = Poster(Guard(settings.webhook_networks))
                notifier = Notifier(settings, storage, poster, render, engine.metrics)
                stack.push_async_callback(notifier.close)
                notifier.open()
            stack.push_async_callback(engine.close)
            for_nodes = (
                None
                if storage.is_sole_owner
                else await _meet_nodes(engine, storage, settings, stack, here)
            )
            await engine.open()
            purging = Purging(storage)
            stack.push_async_callback(purging.close)
            purging.open()
            retention = Retention(storage, settings.retention_days)
            stack.push_async_callback(retention.close)
            retention.open()
            app.state.services = Services(
                settings=settings,
                storage=storage,
                registry=registry,
                engine=engine,
                passwords=passwords,
                throttle=throttle or LoginThrottle(),
                purging=purging,
                metrics=engine.metrics,
                gauges=Gauges(__version__, storage, registry, engine),
                access=Access(registry),
                models=KnownModels(registry),
                figures=Figures(storage),
                count_all=count_all or engine.metrics.count_all,
                dialect_of=dialect_of,
                long_bodies=history_import.PATHS,
                sign_in=provider,
                access_log=access_log,
                for_nodes=for_nodes,
                reloading=None
                if providers is not None
                else Reloading(
                    settings,
                    registry,
                    said,
                    supervisor=supervisor,
                    in_use=lambda: [live.provider for live in engine.live.values()],
                    changed=engine.follow_upstreams,
                ),
            )
            yield

    app = FastAPI(
        title="llamakeep",
        version=__version__,
        description="A prompt API that keeps everything.",
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # see `documentation`
        # Unset, it reads the environment for each request (measured: 4 % of one).
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            LlamaKeepError: problems.render_error,
            RequestValidationError: problems.render_validation_error,
            HTTPException: problems.render_http_error,
            Exception: problems.render_bug,
        },
    )
    _add_middleware(app, settings, counts)
    app.add_middleware(
        Outermost,
        responses=responses,
        access_log=access_log,
        tracer=tracer,
        trace_networks=settings.trace_networks,
    )
    files = Files(reloads=reloads_page)
    _add_routes(app, files, takes_webhooks=settings.public_url is not None)
    return app


def _add_middleware(app: FastAPI, settings: Settings, counts: Counts) -> None:
    # What is added last sees requests first.
    app.add_middleware(
        DirectRoutes, routes=app.router.routes, handlers=app.exception_handlers
    )
    app.add_middleware(
        BodyLimit,
        max_body_size=int(settings.max_body_size),
        exempt=(*webhooks.PATHS, *history_import.PATHS),
        with_images=[path + end for path in PATHS_WITH_IMAGES for end in ("", "/")],
        max_images_size=int(settings.max_images_size),
    )
    if settings.demo:
        app.add_middleware(LoopbackOnly, origins=settings.cors_origins)
    # Webhooks are signed, and all come from the provider's address.
    limit_rates(app, settings, counts, exempt=(*health.PATHS, *webhooks.PATHS))
    believe_proxies(app, settings)
    allow_origins(app, settings.cors_origins)


async def offer_setup(app: FastAPI, setup_token: str | None = None) -> str | None:
    """
    Return a token that creates the first administrator, if there are no users.

    If several worker processes have to share one, it is `setup_token`.
    """
    services: Services = app.state.services
    if services.settings.demo or await services.storage.has_users():
        return None
    setup_token = setup_token or new_setup_token()
    services.setup.token_digest = digest(setup_token)
    return setup_token


async def _meet_nodes(
    engine: Engine,
    storage: Storage,
    settings: Settings,
    stack: AsyncExitStack,
    here: str | None,
) -> tuple[ASGIApp, Listening]:
    """
    Have runs followed at other nodes, and those here by them.

    Args:
        engine: What follows, and is followed.
        storage: Where nodes find each other.
        settings: Say where nodes on other machines reach this one.
        stack: Closes what this opens.
        here: The machine; by default, as `place` says it.

    Returns:
        What is to be served for them, and where.

    Raises:
        NodeAddressUnusable: Nothing can listen where the settings say.
    """
    here = await asyncio.to_thread(place) if here is None else here
    listening = await asyncio.to_thread(
        listen,
        engine.node_id,
        here=here,
        at=settings.node_host_and_port,
        most_ports=settings.workers,
    )
    stack.callback(listening.close)
    engine.recovery.contact = listening.contact
    peers = Peers(storage, engine.node_id, place=here)
    engine.metrics.collectors.append(peers.collect)
    mirrors = Mirrors(peers, engine.live)
    stack.push_async_callback(mirrors.close)
    engine.mirrors = mirrors
    if engine.feeds.elsewhere is not None:
        engine.feeds.elsewhere = ToldChanges(engine.feeds.elsewhere, peers)
    return create_node_app(engine, listening.contact.secret), listening


async def _release(storage: Storage, dead_nodes: Sequence[str]) -> None:
    try:
        if dead_nodes:
            await storage.release_leases(dead_nodes)
    except StorageUnavailable as error:
        log.warning("leases of dead processes run out by themselves: %s", error.detail)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _add_routes(app: FastAPI, files: Files, *, takes_webhooks: bool) -> None:
    vendors_surfaces = (
        openai.chat,
        openai.completions,
        openai.responses,
        openai.stored_chat,
        openai.embeddings,
        openai.conversations,
        anthropic.messages,
        anthropic.models,  # it is for some clients only, so it comes before OpenAI's
        openai.models,
    )
    own_routes = (
        models,
        history,
        events,
        conversations,
        login,
        login_codes,
        login_cookie,
        sign_in,
        logins,
        me,
        keys,
        limits,
        accounts,
        webhook_secrets,
        admin,
        user_keys,
        invitations,
        about,
        health,
        metrics,
        documentation,
    )
    # Routes are tried in order: those that take prompts come first, and a view of the
    # page asks for several files.
    app.router.routes += [*prompt.router.routes, file_route(files)]
    for surface in (*vendors_surfaces, replicate, *own_routes):
        # `include_router` looks each path up twice, router by router (measured: 50 µs).
        app.router.routes.extend(surface.router.routes)
    if takes_webhooks:
        app.router.routes.extend(webhooks.router.routes)
    app.router.routes += [*page_routes(files), HeadAndOptions(app.router)]
