"""
PostgreSQL URLs, read with libpq's parameters, and shown without secrets.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from llamakeep.errors import StorageUnavailable

HIGHEST_PORT = 65535

Hosts = Sequence[tuple[str, int | None]]
"""Hosts, each with its port if the URL has one."""

_DRIVERS = frozenset(
    {
        *("host", "port", "dbname", "database", "user", "password", "passfile"),
        *("service", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl"),
        *("sslpassword", "sslnegotiation", "target_session_attrs"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("krbsrvname", "gsslib"),
    }
)
"""Parameters that asyncpg reads from a URL as libpq does."""
_SERVERS = frozenset({"application_name", "options"})
"""Parameters sent to the server at the start of a connection."""
_IGNORED: Mapping[str, frozenset[str] | None] = {
    "client_encoding": frozenset({"utf8", "utf-8", "auto"}),
    "gssencmode": frozenset({"disable", "prefer"}),
    "load_balance_hosts": frozenset({"disable"}),
    "sslcertmode": frozenset({"disable", "allow"}),
    "channel_binding": frozenset({"disable", "prefer", "require"}),
    "sslcompression": None,
    "sslsni": None,
}
"""Parameters without effect here, and their permitted values; `None` permits all."""
_NUMBERS: Mapping[str, str] = {
    "connect_timeout": "connect_timeout",
    "timeout": "connect_timeout",
    "command_timeout": "statement_timeout",
    "keepalives": "keepalives",
    "keepalives_idle": "keepalives_idle",
    "keepalives_interval": "keepalives_interval",
    "keepalives_count": "keepalives_count",
    "tcp_user_timeout": "tcp_user_timeout",
    "statement_cache_size": "statement_cache_size",
    "prepared_statement_cache_size": "statement_cache_size",
}
_CHOICES: Mapping[str, Sequence[str]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": (
        *("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    ),
    "sslnegotiation": ("postgres", "direct"),
}
_TLS_MODES = {"true": "require", "false": "disable"}
_OTHERS = ("fallback_application_name", "pgbouncer", "ssl")
_KNOWN = sorted({*_DRIVERS, *_SERVERS, *_IGNORED, *_NUMBERS, *_OTHERS})


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A parsed PostgreSQL URL."""

    dsn: str = field(repr=False)
    """The URL for asyncpg, with the password."""
    hosts: Hosts
    """The hosts, tried in turn; empty if `PGHOST` or a service file names them."""
    shown: str
    """The URL without secrets."""
    database: str | None
    numbers: Mapping[str, int]
    server_settings: Mapping[str, str]
    trusts_system: bool
    """Whether the server's certificate is checked with the operating system's."""
    is_pooled: bool | None
    """Whether there is a pooler; `None` if the URL does not say."""

    @property
    def where(self) -> str:
        """The hosts and the database, for error messages."""
        hosts = " or ".join(
            host if port is None else f"{_bracketed(host)}:{port}"
            for host, port in self.hosts
        )
        at = f" at {hosts}" if hosts else ""
        return f"PostgreSQL{at}" + (
            f", database {self.database!r}" * bool(self.database)
        )


def read_postgres_url(url: str) -> PostgresUrl:
    """
    Parse a URL as libpq does.

    Raises:
        StorageUnavailable: It cannot be parsed, or asks for something unsupported. The
            message has nothing that may be part of a password.
    """
    rest, user, password, hosts = _split(url)
    query = dict(parse_qsl(rest.query, keep_blank_values=True))
    hosts = _hosts_of_query(rest.query, query) or hosts
    for word, value in query.items():
        _check(word, value)
    passed = {
        word: query[word] for word in query if word in _DRIVERS - {"host", "port"}
    }
    if (said := query.get("ssl")) is not None:
        passed.setdefault("sslmode", _TLS_MODES.get(said, said))
        _check("sslmode", passed["sslmode"])
    trusts_system = passed.get("sslrootcert") == "system"
    if trusts_system:
        del passed["sslrootcert"]
        passed.pop("sslmode", None)
    if len(hosts) > 1:
        # Of several servers, choose one that accepts writes.
        passed.setdefault("target_session_attrs", "read-write")
    numbers = {_NUMBERS[w]: int(float(query[w])) for w in query if w in _NUMBERS}
    server = {word: query[word] for word in query if word in _SERVERS}
    name = query.get("fallback_application_name", "llamakeep")
    path_name = unquote(rest.path.removeprefix("/"))
    return PostgresUrl(
        dsn=_dsn(user, password, hosts, rest.path, passed),
        hosts=hosts,
        shown=_shown(user, password, hosts, rest.path, query),
        database=query.get("dbname") or query.get("database") or path_name or None,
        numbers=numbers,
        server_settings={"application_name": name} | server,
        trusts_system=trusts_system,
        is_pooled=_is_pooled(query, numbers),
    )


def _dsn(
    user: str,
    password: str | None,
    hosts: Hosts,
    path: str,
    passed: Mapping[str, str],
) -> str:
    userinfo = quote(user, safe="")
    userinfo += "" if password is None else f":{quote(password, safe='')}"
    userinfo += "@" * bool(userinfo)
    netloc = ",".join(_netloc(host, port) for host, port in hosts)
    query = f"?{urlencode(passed, quote_via=quote)}" * bool(passed)
    return f"postgresql://{userinfo}{netloc}{path}{query}"


def _check(word: str, value: str) -> None:
    if word in _NUMBERS:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
            raise StorageUnavailable(
                f"LLAMAKEEP_DATABASE_URL: {word} is no number, such as {word}=10."
            )
    elif word in _IGNORED:
        possible = _IGNORED[word]
        if possible is not None and value.lower() not in possible:
            raise StorageUnavailable(
                f"LLAMAKEEP_DATABASE_URL: {word} can only be "
                f"{', '.join(sorted(possible))} here."
            )
    elif word in _CHOICES:
        if value not in _CHOICES[word]:
            raise StorageUnavailable(
                f"LLAMAKEEP_DATABASE_URL: {word} is one of {', '.join(_CHOICES[word])}."
            )
    elif word not in _KNOWN:
        raise _unknown(word)


def _split(url: str) -> tuple[Any, str, str | None, Hosts]:
    try:
        rest = urlsplit(url)
    except ValueError as error:
        raise _unreadable() from error
    # The rest may be the end of a password that was not encoded.
    if "#" in url or "@" in rest.path or "@" in rest.query:
        raise _unreadable()
    userinfo, _, netloc = rest.netloc.rpartition("@")
    user, has_password, password = userinfo.partition(":")
    hosts = [_host(spec) for spec in netloc.split(",")] if netloc else []
    return rest, unquote(user), unquote(password) if has_password else None, hosts


def _host(spec: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]*)(?::(.*))?", spec)
    if found is None:
        raise _unreadable()
    host, port = unquote(found[1]).strip("[]"), found[2]
    return host, _port(port) if port else None


def _port(said: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", said) or not 0 < int(said) <= HIGHEST_PORT:
        raise _unreadable()
    return int(said)


def _hosts_of_query(query: str, words: Mapping[str, str]) -> Hosts:
    said = [v for k, v in parse_qsl(query) if k == "host"]
    hosts = [
        _host(one) if not one.startswith("/") else (one, None)
        for one in ",".join(said).split(",")
        if one
    ]
    ports = [_port(one) for one in words.get("port", "").split(",") if one]
    if not ports:
        return hosts
    if len(ports) not in {1, len(hosts)}:
        raise StorageUnavailable(
            "LLAMAKEEP_DATABASE_URL names another number of ports than of hosts."
        )
    if len(ports) == 1:
        ports = ports * len(hosts)
    return [(host, port) for (host, _), port in zip(hosts, ports, strict=True)]


def _is_pooled(query: Mapping[str, str], numbers: Mapping[str, int]) -> bool | None:
    if "pgbouncer" in query:
        return query["pgbouncer"].lower() in {"true", "1", "yes", "on"}
    return True if numbers.get("statement_cache_size") == 0 else None


def _unknown(word: str) -> StorageUnavailable:
    nearest = difflib.get_close_matches(word, _KNOWN, n=1, cutoff=0.7)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    # It may be the end of a password.
    if not re.fullmatch(r"[a-z_]{1,40}", word):
        return _unreadable()
    return StorageUnavailable(
        f"LLAMAKEEP_DATABASE_URL: there is no parameter {word!r} that could be used "
        f"here.{hint} Settings of the server are given as options=-c%20NAME%3DVALUE."
    )


def _unreadable() -> StorageUnavailable:
    return StorageUnavailable(
        "LLAMAKEEP_DATABASE_URL cannot be read: its host, port or parameters make no "
        "sense. It is such as postgresql://USER:PASSWORD@HOST:5432/DATABASE, with a "
        "port from 1 to 65535; in a user's name or password, write %2F for /, %3A for "
        ":, %40 for @, %23 for #, %3F for ? and %25 for %."
    )


def _shown(
    user: str,
    password: str | None,
    hosts: Hosts,
    path: str,
    query: Mapping[str, str],
) -> str:
    user = quote(user or query.get("user", ""), safe="")
    has_password = password is not None or "password" in query
    userinfo = f"{user}{':***' * has_password}@" if user or has_password else ""
    netloc = ",".join(_netloc(host, port) for host, port in hosts)
    path = path if path.strip("/") else f"/{quote(query.get('dbname', ''))}"
    return f"postgresql://{userinfo}{netloc}{path}"


def _netloc(host: str, port: int | None) -> str:
    name = quote(host, safe="") if host.startswith("/") else _bracketed(host)
    return name if port is None else f"{name}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
