"""Whether webhooks are bounded, Valkey and a collector answer, and the port is free."""

import base64
import socket

from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.check.threads import in_thread
from llamakeep.errors import CountsUnavailable
from llamakeep.http import Client, ConnectError, HttpError, ReadTimeout
from llamakeep.limits.shared_rates import ValkeyCounts, ValkeyUnreachable
from llamakeep.settings import Settings
from llamakeep.tracing import endpoint, how_to_send

SHORTEST_SECRET = 24
"""Bytes that Standard Webhooks asks for at least."""
WIDE = 8
"""Networks with a shorter prefix have more than an operator's own computers."""
_PATIENCE = 3.0


async def check_webhooks(settings: Settings) -> list[Finding]:
    """Return whether webhooks are sent where they may be, and signed well."""
    found = [
        failed(
            "webhooks",
            f"LLAMAKEEP_WEBHOOK_NETWORKS has {network}: users can have requests sent "
            "to any computer that this one reaches, also to itself.",
            "Name the networks of the receivers only, such as 10.1.0.0/16.",
        )
        for network in settings.webhook_networks
        if network.prefixlen < WIDE
    ]
    secret = settings.replicate_webhook_secret
    if secret is not None:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"))
        if len(key) < SHORTEST_SECRET:
            found.append(
                warning(
                    "webhooks",
                    f"LLAMAKEEP_REPLICATE_WEBHOOK_SECRET has {len(key)} bytes, which "
                    "can be guessed.",
                    "Copy Replicate's own, or remove the setting: Replicate is asked.",
                )
            )
    if settings.webhooks and not found:
        found.append(ok("webhooks", "They are sent to permitted addresses only."))
    return found


async def check_valkey(settings: Settings) -> list[Finding]:
    """Return whether Valkey takes the credentials, and runs what counts requests."""
    url = settings.valkey_url
    assert url is not None
    try:
        counts = ValkeyCounts(url.get_secret_value())
    except CountsUnavailable as error:
        fix = "Run `pip install 'llamakeep[valkey]'`."
        return [failed("valkey", error.detail, fix)]
    try:
        await counts.hit([])  # counts nothing
    except ValkeyUnreachable as error:
        is_refused = any(
            each in str(error).lower() for each in ("auth", "password", "permission")
        )
        fix = (
            "Correct user and password in LLAMAKEEP_VALKEY_URL "
            "(valkey://USER:PASSWORD@HOST:PORT); the user needs EVAL and EVALSHA."
            if is_refused
            else "Start Valkey, or correct host and port in LLAMAKEEP_VALKEY_URL."
        )
        return [failed("valkey", f"It cannot be used: {error}", fix)]
    finally:
        await counts.close()
    return [ok("valkey", "It answers, and counts requests.")]


async def check_traces(settings: Settings) -> list[Finding]:
    """Return whether a collector takes traces: it is sent a request without any."""
    url = endpoint(settings)
    assert url is not None
    if fix := await in_thread(how_to_send):
        return [failed("traces", "They cannot be sent.", fix)]
    client = Client(url, connect_timeout=_PATIENCE, silence_timeout=_PATIENCE)
    kind = {"content-type": "application/x-protobuf"}
    try:
        async with client.send("POST", "", headers=kind, keep_alive=False) as response:
            status = response.status
    except HttpError as error:
        fix = "Start it, or correct host and port in LLAMAKEEP_OTLP_ENDPOINT."
        return [failed("traces", f"The collector does not answer: {error}", fix)]
    finally:
        await client.close()
    if status in {401, 403}:
        said = f"The collector wants credentials ({status}); they are not checked here."
        return [warning("traces", said, "Set OTEL_EXPORTER_OTLP_HEADERS to its key.")]
    if not 200 <= status < 300:
        fix = "Set LLAMAKEEP_OTLP_TRACES_ENDPOINT to its address for traces."
        return [failed("traces", f"The collector answers with {status}.", fix)]
    return [ok("traces", "A collector takes them.")]


async def check_address(settings: Settings) -> list[Finding]:
    """Return whether the server can listen on its address, or does already."""
    host, port = settings.host, settings.port
    try:
        await in_thread(lambda: _try_to_bind(host))
    except OSError as error:
        return [
            failed(
                "address",
                f"{host} is no address of this computer: {error.strerror or error}.",
                "Set LLAMAKEEP_HOST to 127.0.0.1, 0.0.0.0 or an address that "
                "`ip address` lists.",
            )
        ]
    if port == 0:
        return [ok("address", f"A free port of {host} is taken.")]
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    where = f"[{near}]:{port}" if ":" in near else f"{near}:{port}"
    try:
        is_ours = await _serves_llamakeep(f"http://{where}")
    except ConnectError:
        return [ok("address", f"{host}, port {port} is free.")]
    except ReadTimeout:
        return [
            failed(
                "address",
                f"A program has {host}, port {port}, and does not answer there.",
                f"See which (`ss -ltnp 'sport = :{port}'`). If it is systemd, the "
                "service did not start: `journalctl --unit llamakeep` says why.",
            )
        ]
    if is_ours:
        return [ok("address", f"llamakeep answers on {host}, port {port}.")]
    return [
        failed(
            "address",
            f"Another program answers on {host}, port {port}.",
            f"Stop it (`ss -ltnp 'sport = :{port}'` names it), or set LLAMAKEEP_PORT "
            "and, where systemd listens, ListenStream of llamakeep.socket.",
        )
    ]


def _try_to_bind(host: str) -> None:
    family, kind, _, _, address = socket.getaddrinfo(
        host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind) as found:
        found.bind(address)  # to a free port, so that no server is kept from its own


async def _serves_llamakeep(url: str) -> bool:
    client = Client(
        url,
        connect_timeout=_PATIENCE,
        silence_timeout=_PATIENCE,
        uses_proxies=False,
    )
    try:
        async with client.send("GET", "/about/", keep_alive=False) as response:
            body = b""
            while len(body) < 10_000 and (piece := await response.read()) is not None:
                body += piece
            return response.status == 200 and b'"max_images_size"' in body
    except (ConnectError, ReadTimeout):
        raise
    except (TimeoutError, HttpError):
        return False
    finally:
        await client.close()
