"""How the server runs: the typed values of `conf/sipshop.yaml`, which explains every key, or all its errors at once.

A field stands at the same path in the file as here (`limits.max_calls`), and has here the only copy of its default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from sipshop.config import Problem, Problems, Section, read_yaml, shown
from sipshop.sip.shield import Rules

Address = tuple[str, int]
"""(IP address, port)"""

DAY_S: Final = 86_400
MOST_DAYS: Final = 36_500

_REALM: Final = re.compile(r"[ !#-\[\]-~]{1,64}")  # what needs no escape in a quoted string, RFC 3261 section 25.1
_TARGET_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
SHORTEST_SECRET: Final = 16

_SECRET: Final = {"secret": True}  # of a field: it is never shown


def _rest_of(key: str) -> Mapping[str, str]:
    """Of a field: what stands after the first value of a key that may be a list."""
    return {"rest_of": key}


class LogFormat(StrEnum):
    """How a line of the log looks."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """What is told from; each level tells what those after it tell, too."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Begin(StrEnum):
    """Which CDRs a target gets that is named for the first time: those to come, or all that there are too."""

    NOW = "now"
    BEGINNING = "beginning"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Where phones and carriers reach us by TLS, and the certificate that they are shown, which is a file as `key` is.

    `ca` are those whose certificates are believed, of carriers and, with `verify_clients`, of everybody who comes; the
    system's if None.
    """

    listen: tuple[Address, ...] = ()
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False, metadata=_SECRET)
    ca: str | None = None
    verify_clients: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """Who is asked for the addresses of names, those of /etc/resolv.conf if nobody, and how long a call waits."""

    servers: tuple[Address, ...] = ()
    wait_ms: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings:
    """Where phones and carriers reach us; `advertise` is the address that they are told, that of `listen` if None.

    `listen_also` are further addresses, `advertise_also` what is told on those of the other version of IP. At most
    `tcp_connections` are accepted in all, `tcp_per_source` from one address and `tcp_new_per_s` from it in a second;
    one that has not sent a whole message is closed after `tcp_silent_s`, any that is not used after `tcp_idle_s`.

    Sessions are refreshed within `session_s` (RFC 4028; 0 is never), and none may be shorter than `session_least_s`.
    Callers, and carriers that cannot do that, are probed every `probe_s` (0 is never). So many `redirects` of a carrier
    are followed; one more, and it has failed.

    `shield` is what strangers may cost us.
    """

    listen: Address = ("127.0.0.1", 5060)
    listen_also: tuple[Address, ...] = field(default=(), metadata=_rest_of("listen"))
    advertise: Address | None = None
    advertise_also: tuple[Address, ...] = field(default=(), metadata=_rest_of("advertise"))
    tls: TlsSettings = TlsSettings()
    dns: DnsSettings = DnsSettings()
    realm: str = "sipshop"
    bindings_per_booth: int = 5
    registration_least_s: int = 60
    registration_most_s: int = 3600
    session_s: int = 1800
    session_least_s: int = 90
    probe_s: int = 30
    redirects: int = 0
    keepalive_s: int = 30
    tcp_connections: int = 4096
    tcp_per_source: int = 256
    tcp_new_per_s: int = 100
    tcp_silent_s: int = 30
    tcp_idle_s: int = 3900
    tcp_connect_s: int = 5
    shield: Rules = field(default_factory=Rules)

    @property
    def listeners(self) -> tuple[Address, ...]:
        """Every address of UDP and TCP."""
        return (self.listen, *self.listen_also)

    def told(self, listener: Address) -> Address:
        """What peers are told on flows from a listener: a host for each version of IP, its port for the first."""
        version = ip_address(listener[0]).version
        for advertised in (self.advertise, *self.advertise_also):
            if advertised is not None and ip_address(advertised[0]).version == version:
                same = [one for one in self.listeners if ip_address(one[0]).version == version]
                return advertised if listener in same[:1] else (advertised[0], listener[1])
        return listener


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where people and programs reach us: HTTPS where there is a `certificate`, which is a file as `key` is.

    `trusted_proxies` are addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    listen: Address = ("127.0.0.1", 8080)
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False, metadata=_SECRET)
    trusted_proxies: tuple[str, ...] = ()
    token_file: str = "data/token"  # noqa: S105  # where it is, not what it is


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where monitoring reaches us, if not where everybody does: /metrics, /healthz and /readyz are only there then."""

    listen: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The file that everything is in, and how often its books are audited; 0 is never."""

    path: str = "data/sipshop.db"
    audit_every_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What the switch takes on: `max_calls` at once, each talk `max_call_s`, paid for in slices of `slice_s`.

    New calls are refused while the event loop lags by more than `overload_lag_ms`; who stops the server gives the CDRs
    of its calls `drain_s` to reach the disk.
    """

    max_calls: int = 10_000
    max_call_s: int = 4 * 3600
    slice_s: int = 60
    overload_lag_ms: int = 1000
    drain_s: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is written down, and where: to `file`, of which `files` of `file_mb` are kept, or to stderr if None.

    With `days` a file is begun each day too, and goes so many days after its last line; 0 keeps them by size alone.
    """

    format: LogFormat = LogFormat.TEXT
    level: LogLevel = LogLevel.INFO
    file: str | None = None
    file_mb: int = 100
    files: int = 10
    days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """How many days what is kept; 0 is for ever.

    After `numbers_days` the last `hidden_digits` of numbers that were called are masked; after `unanswered_days` the
    records of calls go that nobody answered, after `desk_log_days` the notes of who did what at the desk.
    """

    numbers_days: int = 180
    hidden_digits: int = 4
    unanswered_days: int = 365
    desk_log_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """Somebody who gets every CDR of a provider: a `file`, a `url` or a `command`, one of the three.

    `provider` is whose, None for the one who runs the server. A file is begun anew each day and at `file_mb`; a url is
    spoken to by TLS, with the certificates of `ca` believed (the system's if None), and each batch is signed with
    `secret`. A target has `timeout_s` for a `batch` of so many records.
    """

    name: str
    provider: str | None = None
    file: str | None = None
    file_mb: int = 100
    url: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False, metadata=_SECRET)
    ca: str | None = None
    command: tuple[str, ...] = ()
    timeout_s: int = 30
    batch: int = 100
    from_beginning: bool = False

    @property
    def where(self) -> str:
        """Where it is, in words: of a url no more than the host, as the rest may be as good as a password."""
        if self.file is not None:
            return f"file {self.file}"
        if self.url is not None:
            parts = urlsplit(self.url)
            return f"{parts.scheme}://{parts.netloc}"
        return f"command {self.command[0]}"

    def __str__(self) -> str:
        return f"{self.name} ({self.where})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """Who gets the CDRs as they are written; what one has yet to get is kept `hold_days` longer than else."""

    targets: tuple[TargetSettings, ...] = ()
    hold_days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the server runs; `worlds` are the files that an empty database is filled from, one a provider."""

    sip: SipSettings = SipSettings()
    http: HttpSettings = HttpSettings()
    metrics: MetricsSettings = MetricsSettings()
    database: DatabaseSettings = DatabaseSettings()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    export: ExportSettings = ExportSettings()
    logs: LogSettings = LogSettings()
    worlds: tuple[str, ...] = ()

    @property
    def advertised(self) -> Address:
        """The address that phones and carriers are told to send to."""
        return self.sip.told(self.sip.listen)

    @property
    def is_https(self) -> bool:
        """Whether people reach us by TLS."""
        return self.http.certificate is not None


class SettingsErrors(Exception):
    """A configuration cannot be used; `errors` are all of its errors, by line, and the text has one on each line."""

    def __init__(self, errors: Sequence[Problem]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


def parse_settings(text: str, filename: str, fetch: Callable[[str], str]) -> Settings:
    """Return the settings that a YAML text gives; `filename` is only named in errors.

    `fetch` brings the secret that a reference (`env:NAME`, `file:PATH`) leads to, or raises ValueError.

    Raises:
        SettingsErrors: the text cannot be read, or something in it is unknown, double, out of range or contradictory.
    """
    problems = Problems(filename)
    top = read_yaml(text, problems)
    settings = _settings(top, fetch) if top is not None else None
    if problems or settings is None:
        raise SettingsErrors(problems.in_order())
    return settings


def parse_address(text: str) -> tuple[str, int | None]:
    """Read HOST[:PORT], HOST an IP address and in brackets if it is of version 6; raises ValueError.

    >>> parse_address("[::1]:5060")
    ('::1', 5060)
    """
    wrong = f"must be HOST[:PORT] with an IP address, such as 192.0.2.7:5060 or [2001:db8::7]:5060, not {shown(text)}"
    try:
        parts = urlsplit(f"//{text}")
        host, port = str(ip_address(parts.hostname or "")), parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if parts.netloc != text or "@" in text or text.endswith(":"):  # more than an address, or less than it promises
        raise ValueError(wrong)
    return host, port


def address_text(address: Address) -> str:
    """An address as people write it.

    >>> address_text(("::1", 5060))
    '[::1]:5060'
    """
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# What changes while the server runs.


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value is another one now; a secret is shown as such."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a new configuration changes at once, and what has to wait for a restart."""

    changed: tuple[Change, ...]
    restart: tuple[Change, ...]


def reloaded(running: Settings, wanted: Settings) -> tuple[Settings, Reloaded]:
    """Return the settings that hold after a reload, and what became of each difference."""
    both = running.is_https and wanted.is_https
    tls = {
        name: getattr(wanted.http if both else running.http, name) for name in ("certificate", "key", "key_password")
    }
    holds = replace(
        running,
        sip=replace(running.sip, tls=_reloaded_tls(running.sip.tls, wanted.sip.tls), shield=wanted.sip.shield),
        limits=wanted.limits,
        retention=wanted.retention,
        export=wanted.export,
        logs=wanted.logs,
        http=replace(running.http, **tls),
        database=replace(running.database, audit_every_s=wanted.database.audit_every_s),
    )
    return holds, Reloaded(changed=tuple(_changes(running, holds)), restart=tuple(_changes(holds, wanted)))


def _reloaded_tls(running: TlsSettings, wanted: TlsSettings) -> TlsSettings:
    """What new connections get; where we listen stays, and so does whether we do by TLS."""
    return replace(wanted, listen=running.listen) if running.listen and wanted.listen else running


def _changes(old: Settings, new: Settings) -> Iterator[Change]:
    before, after = _flat(old), _flat(new)
    for key, (value, is_secret) in before.items():
        if value != after[key][0]:
            texts = ("a secret", "another") if is_secret else (_text(value), _text(after[key][0]))
            yield Change(key, *texts)


def _flat(part: object, path: str = "") -> Mapping[str, tuple[object, bool]]:
    """Every value by its path in the file, with whether it is a secret."""
    found: dict[str, tuple[object, bool]] = {}
    assert is_dataclass(part), "settings are made of dataclasses"
    for each in fields(part):
        value = getattr(part, each.name)
        if is_dataclass(value):
            found |= _flat(value, f"{path}{each.name}.")
        elif "rest_of" in each.metadata:
            first, is_secret = found[path + each.metadata["rest_of"]]
            if value:
                found[path + each.metadata["rest_of"]] = (first, *value), is_secret
        else:
            found[path + each.name] = value, "secret" in each.metadata
    return found


def _text(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case (str(host), int(port)):
            return address_text((host, port))
        case tuple():
            return ", ".join(map(_text, value)) or "nothing"
        case _:
            return str(value)


# The reader of the file.


def _settings(top: Section, fetch: Callable[[str], str]) -> Settings:
    settings = Settings(
        sip=_sip(top.part("sip"), fetch),
        http=_http(top.part("http"), fetch),
        metrics=_metrics(top.part("metrics")),
        database=_database(top.part("database")),
        limits=_limits(top.part("limits")),
        retention=_retention(top.part("retention")),
        export=_export(top.part("export"), fetch),
        logs=_logs(top.part("logs")),
        worlds=top.texts("worlds", (), check=_path),
    )
    if len(set(settings.worlds)) < len(settings.worlds):
        top.fault("worlds", "names a file twice")
    _refuse_shared_ports(top, settings)
    top.end()
    return settings


def _sip(section: Section, fetch: Callable[[str], str]) -> SipSettings:
    default = SipSettings()
    listen, *listen_also = _addresses(section, "listen", default=default.listen)
    advertised = _advertised(section, (listen, *listen_also))
    tls = _tls(section.part("tls"), fetch)
    for listener in (listen, *listen_also, *tls.listen):
        is_told = {ip_address(host).version for host, _ in advertised}
        if ip_address(listener[0]).is_unspecified and ip_address(listener[0]).version not in is_told:
            section.fault(
                "listen" if listener not in tls.listen else "tls",
                f"phones cannot be told to send to {listener[0]}: add sip.advertise with this machine's address",
            )
    least_s = section.integer("registration_least_s", default.registration_least_s, low=1, high=DAY_S)
    most_s = section.integer("registration_most_s", default.registration_most_s, low=60, high=DAY_S)
    if least_s > most_s:
        section.fault("registration_least_s", f"must be at most registration_most_s, which is {most_s}")
    session_s = section.integer("session_s", default.session_s, low=0, high=DAY_S)
    session_least_s = section.integer("session_least_s", default.session_least_s, low=90, high=DAY_S)
    if 0 < session_s < session_least_s:
        section.fault("session_s", f"must be 0 (never) or at least session_least_s, which is {session_least_s}")
    connections = section.integer("tcp_connections", default.tcp_connections, low=1, high=1_000_000)
    per_source = section.integer("tcp_per_source", default.tcp_per_source, low=1, high=1_000_000)
    if per_source > connections and section.has("tcp_per_source"):
        section.fault("tcp_per_source", f"must be at most tcp_connections, which is {connections}")
    idle_s = section.integer("tcp_idle_s", default.tcp_idle_s, low=60, high=7 * DAY_S)
    if idle_s <= most_s:
        section.fault(
            "tcp_idle_s" if section.has("tcp_idle_s") else "registration_most_s",
            f"tcp_idle_s ({idle_s}) must be above registration_most_s ({most_s}): a phone that registers again keeps "
            "its connection",
        )
    settings = SipSettings(
        listen=listen,
        listen_also=tuple(listen_also),
        advertise=advertised[0] if advertised else None,
        advertise_also=advertised[1:],
        tls=tls,
        dns=_dns(section.part("dns")),
        realm=section.text("realm", default.realm, check=_realm),
        bindings_per_booth=section.integer("bindings_per_booth", default.bindings_per_booth, low=1, high=100),
        registration_least_s=least_s,
        registration_most_s=most_s,
        session_s=session_s,
        session_least_s=session_least_s,
        probe_s=section.integer("probe_s", default.probe_s, low=0, high=3600),
        redirects=section.integer("redirects", default.redirects, low=0, high=5),
        keepalive_s=section.integer("keepalive_s", default.keepalive_s, low=0, high=3600),
        tcp_connections=connections,
        tcp_per_source=per_source,
        tcp_new_per_s=section.integer("tcp_new_per_s", default.tcp_new_per_s, low=1, high=100_000),
        tcp_silent_s=section.integer("tcp_silent_s", default.tcp_silent_s, low=1, high=3600),
        tcp_idle_s=idle_s,
        tcp_connect_s=section.integer("tcp_connect_s", default.tcp_connect_s, low=1, high=60),
        shield=_shield(section.part("shield")),
    )
    section.end()
    return settings


def _advertised(section: Section, listeners: Sequence[Address]) -> tuple[Address, ...]:
    """What is told of us, one address for each version of IP at most; the port is that of the first listener of it."""
    if not section.has("advertise"):
        return ()
    found: list[Address] = []
    for host, port in _addresses(section, "advertise", default=("127.0.0.1", 0), port=0):
        version = ip_address(host).version
        same = [listener for listener in listeners if ip_address(listener[0]).version == version]
        if ip_address(host).is_unspecified:
            section.fault("advertise", f"nobody can send to {host}: name this machine's address")
        elif any(ip_address(other).version == version for other, _ in found):
            section.fault("advertise", f"names two addresses of IPv{version}: phones are told one")
        found.append((host, port or (same or listeners)[0][1]))
    return tuple(found)


def _tls(section: Section, fetch: Callable[[str], str]) -> TlsSettings:
    files = {key: section.text(key, "", check=_path) or None for key in ("certificate", "key", "ca")}
    listen = _addresses(section, "listen", default=None) if section.has("listen") else ()
    for given, needs in (
        *(("listen", "certificate"), ("certificate", "key"), ("key", "certificate"), ("key_password", "key")),
        ("verify_clients", "ca"),
    ):
        if section.has(given) and not section.has(needs):
            section.fault(given, f"needs sip.tls.{needs} beside it")
    settings = TlsSettings(
        listen=tuple(listen),
        certificate=files["certificate"],
        key=files["key"],
        key_password=section.secret("key_password", fetch),
        ca=files["ca"],
        verify_clients=section.flag("verify_clients", False),
    )
    section.end()
    return settings


def _dns(section: Section) -> DnsSettings:
    default = DnsSettings()
    settings = DnsSettings(
        servers=tuple(_addresses(section, "servers", default=None, port=53)) if section.has("servers") else (),
        wait_ms=section.integer("wait_ms", default.wait_ms, low=100, high=10_000),
    )
    section.end()
    return settings


def _shield(section: Section) -> Rules:
    default = Rules()
    rules = Rules(
        scanners=tuple(text.lower() for text in section.texts("scanners", default.scanners, check=_scanner)),
        failures=section.integer("failures", default.failures, low=0, high=1_000_000),
        source_failures=section.integer("source_failures", default.source_failures, low=0, high=1_000_000),
        window_s=section.integer("window_s", default.window_s, low=1, high=DAY_S),
        ban_s=section.integer("ban_s", default.ban_s, low=1, high=30 * DAY_S),
        source_per_s=section.integer("source_per_s", default.source_per_s, low=0, high=1_000_000),
        total_per_s=section.integer("total_per_s", default.total_per_s, low=0, high=1_000_000),
        known_per_s=section.integer("known_per_s", default.known_per_s, low=0, high=1_000_000),
    )
    section.end()
    return rules


def _http(section: Section, fetch: Callable[[str], str]) -> HttpSettings:
    default = HttpSettings()
    certificate = section.text("certificate", "", check=_path) or None
    key = section.text("key", "", check=_path) or None
    for given, needs in (("certificate", "key"), ("key", "certificate"), ("key_password", "key")):
        if section.has(given) and not section.has(needs):
            section.fault(given, f"needs http.{needs} beside it")
    settings = HttpSettings(
        listen=_listen(section, "listen", default.listen),
        certificate=certificate,
        key=key,
        key_password=section.secret("key_password", fetch),
        trusted_proxies=section.texts("trusted_proxies", default.trusted_proxies, check=_network),
        token_file=section.text("token_file", default.token_file, check=_path),
    )
    section.end()
    return settings


def _metrics(section: Section) -> MetricsSettings:
    listen = _address(section, "listen", None) if section.has("listen") else None
    section.end()
    return MetricsSettings(listen=listen)


def _database(section: Section) -> DatabaseSettings:
    default = DatabaseSettings()
    settings = DatabaseSettings(
        path=section.text("path", default.path, check=_path),
        audit_every_s=section.integer("audit_every_s", default.audit_every_s, low=0, high=7 * DAY_S),
    )
    section.end()
    return settings


def _limits(section: Section) -> LimitSettings:
    default = LimitSettings()
    settings = LimitSettings(
        max_calls=section.integer("max_calls", default.max_calls, low=1, high=1_000_000),
        max_call_s=section.integer("max_call_s", default.max_call_s, low=10, high=DAY_S),
        slice_s=section.integer("slice_s", default.slice_s, low=10, high=3600),
        overload_lag_ms=section.integer("overload_lag_ms", default.overload_lag_ms, low=10, high=60_000),
        drain_s=section.integer("drain_s", default.drain_s, low=1, high=3600),
    )
    if section.sound and settings.slice_s > settings.max_call_s:
        section.fault("slice_s", f"must be at most max_call_s, which is {settings.max_call_s}")
    section.end()
    return settings


def _retention(section: Section) -> RetentionSettings:
    default = RetentionSettings()
    settings = RetentionSettings(
        numbers_days=section.integer("numbers_days", default.numbers_days, low=0, high=MOST_DAYS),
        hidden_digits=section.integer("hidden_digits", default.hidden_digits, low=1, high=15),
        unanswered_days=section.integer("unanswered_days", default.unanswered_days, low=0, high=MOST_DAYS),
        desk_log_days=section.integer("desk_log_days", default.desk_log_days, low=0, high=MOST_DAYS),
    )
    section.end()
    return settings


def _export(section: Section, fetch: Callable[[str], str]) -> ExportSettings:
    default = ExportSettings()
    targets: list[TargetSettings] = []
    for each in section.sections("targets", required=False):
        target = _target(each, fetch)
        if any(target.name == other.name for other in targets):
            each.fault("name", f"there is a target named {shown(target.name)} already")
        targets.append(target)
    settings = ExportSettings(
        targets=tuple(targets), hold_days=section.integer("hold_days", default.hold_days, low=0, high=MOST_DAYS)
    )
    section.end()
    return settings


def _target(section: Section, fetch: Callable[[str], str]) -> TargetSettings:
    target = TargetSettings(
        name=section.text("name", check=_target_name),
        provider=section.text("provider", "") or None,
        file=section.text("file", "", check=_path) or None,
        file_mb=section.integer("file_mb", 100, low=1, high=10_000),
        url=section.text("url", "", check=_url) or None,
        secret=section.secret("secret", fetch),
        ca=section.text("ca", "", check=_path) or None,
        command=section.texts("command", ()),
        timeout_s=section.integer("timeout_s", 30, low=1, high=600),
        batch=section.integer("batch", 100, low=1, high=1000),
        from_beginning=section.choice("begin", Begin, Begin.NOW) is Begin.BEGINNING,
    )
    kinds = [key for key in ("file", "url", "command") if section.has(key)]
    if len(kinds) != 1:
        section.fault(kinds[1] if kinds else "", "a target has one of file, url and command")
    for given, needs in (("url", "secret"), ("secret", "url"), ("ca", "url"), ("file_mb", "file")):
        if section.has(given) and not section.has(needs):
            section.fault(given, f"needs {needs} beside it")
    if target.secret is not None and len(target.secret) < SHORTEST_SECRET:
        section.fault("secret", f"is too short: at least {SHORTEST_SECRET} characters, drawn by chance")
    if section.has("command") and not (target.command and target.command[0]):
        section.fault("command", "names no program: [/usr/local/bin/take-cdrs, --option]")
    section.end()
    return target


def _logs(section: Section) -> LogSettings:
    default = LogSettings()
    settings = LogSettings(
        format=section.choice("format", LogFormat, default.format),
        level=section.choice("level", LogLevel, default.level),
        file=section.text("file", "", check=_path) or None,
        file_mb=section.integer("file_mb", default.file_mb, low=1, high=10_000),
        files=section.integer("files", default.files, low=2, high=1000),
        days=section.integer("days", default.days, low=0, high=900),
    )
    for key in ("file_mb", "files", "days"):
        if section.has(key) and not section.has("file"):
            section.fault(key, "needs logs.file beside it: stderr is kept by whoever reads it")
    if settings.days and settings.days + 2 > settings.files:  # yesterday's is a day old tonight, and there is today's
        section.fault("files", f"must be at least {settings.days + 2} for {settings.days} days: each begins a file")
    section.end()
    return settings


def _refuse_shared_ports(top: Section, settings: Settings) -> None:
    """Two listeners on one address: the second would not start. SIP listens for TCP too."""
    listeners = [
        *(("sip", address) for address in settings.sip.listeners),
        *(("sip.tls", address) for address in settings.sip.tls.listen),
        ("http", settings.http.listen),
        *(("metrics", address) for address in (settings.metrics.listen,) if address is not None),
    ]
    taken: list[tuple[str, Address]] = []
    for name, address in listeners:
        if not address[1]:
            continue
        for other, theirs in taken:
            if _overlap(address, theirs):
                what = f"{name} listens" if "." in name else "listens"
                top.fault(
                    name.partition(".")[0],
                    f"{what} on {address_text(address)}, where {other} does: give one another port",
                )
        taken.append((name, address))


def _overlap(one: Address, other: Address) -> bool:
    hosts = {ip_address(one[0]), ip_address(other[0])}
    if one[1] != other[1] or len({host.version for host in hosts}) > 1:
        return False
    return len(hosts) == 1 or any(host.is_unspecified for host in hosts)


def _listen(section: Section, key: str, default: Address) -> Address:
    return _address(section, key, None) if section.has(key) else default


def _address(section: Section, key: str, port: int | None) -> Address:
    """Read HOST:PORT, or HOST alone where a port is known; after a problem the port is 0."""
    return _addresses(section, key, default=("127.0.0.1", 0), port=port)[0]


def _addresses(section: Section, key: str, *, default: Address | None, port: int | None = None) -> list[Address]:
    """Read one address or a list of them, each as by `_address`; the default where there is none, if there is one."""
    found: list[Address] = []

    def check(text: str) -> str:
        host, given = parse_address(text)
        if given is None and port is None:
            raise ValueError(f"{shown(text)} names no port: HOST:PORT")
        if given == 0:
            raise ValueError("a port is a number from 1 to 65535, not 0")
        found.append((host, given or port or 0))
        return text

    if default is not None and not section.has(key):
        return [default]
    if section.lists(key):
        if not section.texts(key, check=check) and section.sound:
            section.fault(key, "names nothing: leave the key out, or write an address")
    else:
        section.text(key, check=check)
    return found or [default or ("127.0.0.1", 0)]


def _realm(text: str) -> str:
    if _REALM.fullmatch(text) is None:
        raise ValueError(f"must be 1 to 64 ASCII characters without quotes and backslashes, not {shown(text)}")
    return text


def _scanner(text: str) -> str:
    if len(text) < 4 or not text.isprintable():
        raise ValueError(
            f"must be at least 4 characters of a User-Agent, not {shown(text)}: a phone's would hold it too"
        )
    return text


def _path(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"must be the path of a file, not {shown(text)}")
    return text


def _target_name(text: str) -> str:
    if _TARGET_NAME.fullmatch(text) is None:
        raise ValueError(f"must be 1 to 64 letters, digits, dashes and underscores, not {shown(text)}")
    return text


def _url(text: str) -> str:
    """A url whose text is not shown where it is wrong: it may hold what is as good as a password."""
    try:
        parts = urlsplit(text)
        host, has_port = parts.hostname, parts.port is not None or not parts.netloc.endswith(":")
    except ValueError:
        host, has_port = None, False
    if not host or not has_port or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be https://HOST/PATH")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("must be https://HOST/PATH without a user, a password and a #: batches are signed by `secret`")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError("must begin with https:// : records name who called whom. http:// is for 127.0.0.1 alone")
    return text


def _network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(f"must be an IP address or a network such as 192.0.2.0/24, not {shown(text)}") from None
    if not network.prefixlen:
        raise ValueError(f"{text} is everybody: name the proxies")
    return text
