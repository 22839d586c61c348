"""All checks, beside each other, each within bounded time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any

from llamakeep.check import streaming
from llamakeep.check.database import check_database
from llamakeep.check.disk import check_disk
from llamakeep.check.finding import Finding, failed
from llamakeep.check.modes import check_modes
from llamakeep.check.nodes import check_nodes
from llamakeep.check.providers import provider_checks
from llamakeep.check.proxy import check_proxy
from llamakeep.check.services import (
    check_address,
    check_traces,
    check_valkey,
    check_webhooks,
)
from llamakeep.check.settings import read_settings
from llamakeep.check.threads import in_thread
from llamakeep.domain import utc_now
from llamakeep.errors import StorageUnavailable
from llamakeep.settings import Settings
from llamakeep.settings.upstreams import Upstreams
from llamakeep.settings.variables import files_with_secrets
from llamakeep.storage.inspection import sqlite_file
from llamakeep.tracing import endpoint

LONGEST = 15.0
"""Seconds that one check may take; all of them are run at the same time."""

Check = Callable[[], Coroutine[Any, Any, list[Finding]]]


async def run_checks(
    *,
    url: str | None = None,
    is_asking: bool = False,
    now: Callable[[], datetime] = utc_now,
    longest: float = LONGEST,
) -> list[Finding]:
    """
    Return what all checks found, in the same order each time.

    Args:
        url: Where clients reach the server through a proxy, to look at that as well.
        is_asking: Whether providers are asked for an answer, unless they failed.
        now: This computer's clock.
        longest: Seconds that one check may take.
    """
    settings, upstreams, found = await in_thread(read_settings)
    if settings is None:
        return found
    checks = checks_of(settings, upstreams, now)
    if url is not None:
        checks["proxy"] = partial(check_proxy, url)
    results = await asyncio.gather(
        *(_bounded(about, check, longest) for about, check in checks.items())
    )
    found = [*found, *(each for result in results for each in result)]
    if is_asking:
        broken = {each.about for each in found if each.level == "failed"}
        ask = partial(streaming.check_streaming, settings, leave_out=broken)
        found += await _bounded("ask", ask, streaming.LONGEST + longest)
    return found


def checks_of(
    settings: Settings, upstreams: Upstreams, now: Callable[[], datetime]
) -> dict[str, Check]:
    """Return the checks of what the settings name, by what they are about."""
    checks: dict[str, Check] = {
        "database": lambda: _check_database(settings, now()),
    }
    try:
        path = sqlite_file(settings.database_url)
    except StorageUnavailable:
        return checks  # the check of the database says it
    if path is not None:
        checks["disk"] = lambda: in_thread(partial(check_disk, path))
    checks["files"] = lambda: in_thread(lambda: check_modes(path, files_with_secrets()))
    checks |= provider_checks(settings, upstreams, now)
    checks["webhooks"] = partial(check_webhooks, settings)
    if settings.valkey_url is not None:
        checks["valkey"] = partial(check_valkey, settings)
    if endpoint(settings) is not None:
        checks["traces"] = partial(check_traces, settings)
    checks["address"] = partial(check_address, settings)
    return checks


async def _check_database(settings: Settings, now: datetime) -> list[Finding]:
    """Look at the database and, if it works, at the servers that share it."""
    found = await check_database(settings, now=now)
    is_shared = settings.database_url.startswith("postgres")
    if is_shared and all(each.level != "failed" for each in found):
        found += await check_nodes(settings)
    return found


async def _bounded(
    about: str, check: Callable[[], Awaitable[list[Finding]]], longest: float
) -> list[Finding]:
    try:
        async with asyncio.timeout(longest):
            return await check()
    except TimeoutError:
        said = f"It did not answer within {longest:g} s."
        return [failed(about, said, "See whether it is overloaded, or frozen.")]
    except Exception as error:  # noqa: BLE001 - one check must not hide the others
        said = f"It cannot be checked: {type(error).__name__}: {error}"
        return [failed(about, said, "Correct the setting that this is about.")]
