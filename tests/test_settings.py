"""How a server runs: every key of the file, a table of broken files, and what a reload may change."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sipshop import app, cli
from sipshop.settings import (
    Change,
    DatabaseSettings,
    DnsSettings,
    HttpSettings,
    LimitSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    MetricsSettings,
    RetentionSettings,
    Settings,
    SettingsErrors,
    SipSettings,
    TlsSettings,
    parse_address,
    parse_settings,
    reloaded,
)
from sipshop.sip.shield import Rules

SHIPPED: Final = Path(__file__).parent.parent / "conf" / "sipshop.yaml"
SECRETS: Final = {"env:KEY_PASSWORD": "open-sesame"}


def fetch(reference: str) -> str:
    try:
        return SECRETS[reference]
    except KeyError:
        raise ValueError(f"{reference} is not there") from None


def parse(text: str) -> Settings:
    return parse_settings(text, "sipshop.yaml", fetch)


def paths(part: object, above: str = "") -> list[str]:
    """The path of every setting in the file."""
    assert is_dataclass(part)
    found = []
    for each in fields(part):
        if "rest_of" in each.metadata:
            continue
        value = getattr(part, each.name)
        found += paths(value, f"{above}{each.name}.") if is_dataclass(value) else [above + each.name]
    return found


# What is shipped


def test_the_shipped_file_says_what_holds_without_it() -> None:
    assert replace(parse(SHIPPED.read_text("utf-8")), worlds=()) == Settings() == parse("logs: {}")


def test_one_address_or_several() -> None:
    one, several = parse("sip: {listen: 192.0.2.7:5060}"), parse("sip: {listen: [192.0.2.7:5060, '[::1]:5061']}")
    assert one.sip.listeners == (("192.0.2.7", 5060),)
    assert several.sip.listeners == (("192.0.2.7", 5060), ("::1", 5061))
    assert (one.sip.listen, several.sip.listen) == (("192.0.2.7", 5060),) * 2


def test_each_version_of_ip_is_advertised_by_itself() -> None:
    sip = parse(
        """
sip:
  listen: [0.0.0.0:5060, "[::]:5060", 10.0.0.7:5080]
  advertise: [203.0.113.7:5099, "[2001:db8::7]"]
  tls: {listen: 0.0.0.0:5061, certificate: c, key: k}
"""
    ).sip
    assert sip.told(("0.0.0.0", 5060)) == ("203.0.113.7", 5099)
    assert sip.told(("::", 5060)) == ("2001:db8::7", 5060)
    assert sip.told(("10.0.0.7", 5080)) == ("203.0.113.7", 5080)
    assert sip.told(("0.0.0.0", 5061)) == ("203.0.113.7", 5061)
    assert parse("sip: {listen: ['10.0.0.7:5080', '10.1.0.7:5080']}").sip.told(("10.1.0.7", 5080)) == ("10.1.0.7", 5080)


def test_a_reload_renews_certificates_of_sip_and_waits_with_listeners() -> None:
    tls = TlsSettings(listen=(("::1", 5061),), certificate="a", key="b")
    running = Settings(sip=SipSettings(tls=tls))
    renewed = replace(tls, certificate="c", ca="d", verify_clients=True)
    holds, done = reloaded(running, Settings(sip=SipSettings(tls=replace(renewed, listen=(("::1", 5062),)))))
    assert holds.sip.tls == renewed
    assert [str(change) for change in done.changed] == [
        "sip.tls.certificate: a -> c",
        "sip.tls.ca: nothing -> d",
        "sip.tls.verify_clients: False -> True",
    ]
    assert [str(change) for change in done.restart] == ["sip.tls.listen: [::1]:5061 -> [::1]:5062"]
    holds, done = reloaded(running, Settings(sip=SipSettings(listen_also=(("::1", 5060),))))
    assert holds == running
    assert str(done.restart[0]) == "sip.listen: 127.0.0.1:5060 -> 127.0.0.1:5060, [::1]:5060"


@pytest.mark.parametrize("path", paths(Settings()))
def test_the_shipped_file_explains_every_key(path: str) -> None:
    *tables, key = path.split(".")
    text = SHIPPED.read_text("utf-8")
    for depth, table in enumerate(tables):
        text = text.partition(f"\n{'  ' * depth}{table}:")[2]
        text = text[: found.start()] if (found := re.search(rf"\n {{{2 * depth}}}[a-z]", text)) else text
    assert re.search(rf"^ *(?:#  ?)?{key}:|^ \{{{key}:", text, re.MULTILINE), path


def test_every_key_that_may_be_written_is_read() -> None:
    settings = parse(
        """
worlds: [a.yaml, b.yaml]
sip: {listen: "[::]:5062", advertise: "2001:db8::7", realm: shop, bindings_per_booth: 2, registration_least_s: 30,
      registration_most_s: 600, session_s: 600, session_least_s: 120, probe_s: 0, redirects: 1, tcp_connections: 10,
      tcp_per_source: 5, tcp_silent_s: 3, tcp_idle_s: 700, tcp_connect_s: 2, tcp_new_per_s: 9,
      dns: {servers: [192.0.2.53, "[::1]:5353"], wait_ms: 500},
      tls: {listen: ["[::]:5061", 192.0.2.7:5061], certificate: s.pem, key: t.pem, key_password: "env:KEY_PASSWORD",
            ca: ca.pem, verify_clients: true},
      shield: {scanners: [Evil Phone], failures: 3, source_failures: 9, window_s: 60, ban_s: 90,
      source_per_s: 5, total_per_s: 0, known_per_s: 500}}
http: {listen: 192.0.2.7:443, certificate: c.pem, key: k.pem, key_password: "env:KEY_PASSWORD",
       trusted_proxies: [127.0.0.1, 192.0.2.0/24], token_file: t}
metrics: {listen: 192.0.2.7:9100}
database: {path: x.db, audit_every_s: 0}
limits: {max_calls: 5, max_call_s: 600, slice_s: 30, overload_lag_ms: 200, drain_s: 3}
retention: {numbers_days: 7, hidden_digits: 2, unanswered_days: 0, desk_log_days: 30}
logs: {format: json, level: warning, file: x.log, file_mb: 5, files: 3, days: 1}
""".replace('"2001:db8::7"', '"[2001:db8::7]"')
    )
    assert settings == Settings(
        sip=SipSettings(
            listen=("::", 5062),
            advertise=("2001:db8::7", 5062),
            realm="shop",
            bindings_per_booth=2,
            registration_least_s=30,
            registration_most_s=600,
            session_s=600,
            session_least_s=120,
            probe_s=0,
            redirects=1,
            tcp_connections=10,
            tcp_per_source=5,
            tcp_silent_s=3,
            tcp_idle_s=700,
            tcp_connect_s=2,
            tcp_new_per_s=9,
            dns=DnsSettings(servers=(("192.0.2.53", 53), ("::1", 5353)), wait_ms=500),
            tls=TlsSettings(
                listen=(("::", 5061), ("192.0.2.7", 5061)),
                certificate="s.pem",
                key="t.pem",
                key_password="open-sesame",
                ca="ca.pem",
                verify_clients=True,
            ),
            shield=Rules(
                scanners=("evil phone",),
                failures=3,
                source_failures=9,
                window_s=60,
                ban_s=90,
                source_per_s=5,
                total_per_s=0,
                known_per_s=500,
            ),
        ),
        http=HttpSettings(
            listen=("192.0.2.7", 443),
            certificate="c.pem",
            key="k.pem",
            key_password="open-sesame",
            trusted_proxies=("127.0.0.1", "192.0.2.0/24"),
            token_file="t",
        ),
        metrics=MetricsSettings(listen=("192.0.2.7", 9100)),
        database=DatabaseSettings(path="x.db", audit_every_s=0),
        limits=LimitSettings(max_calls=5, max_call_s=600, slice_s=30, overload_lag_ms=200, drain_s=3),
        retention=RetentionSettings(numbers_days=7, hidden_digits=2, unanswered_days=0, desk_log_days=30),
        logs=LogSettings(format=LogFormat.JSON, level=LogLevel.WARNING, file="x.log", file_mb=5, files=3, days=1),
        worlds=("a.yaml", "b.yaml"),
    )
    assert set(paths(settings)) == set(paths(Settings()))
    assert settings.advertised == ("2001:db8::7", 5062)


def test_a_secret_is_in_no_text() -> None:
    settings = parse('http: {certificate: c, key: k, key_password: "env:KEY_PASSWORD"}')
    assert settings.http.key_password == "open-sesame"
    assert "sesame" not in repr(settings)
    other = replace(settings, http=replace(settings.http, key_password="another-one"))
    _, done = reloaded(settings, other)
    assert done.changed == (Change("http.key_password", "a secret", "another"),)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().limits.max_calls = 1  # type: ignore[misc]  # what must fail


# What is broken

LONG = "x" * 70
BROKEN = [
    pytest.param("", "1: is empty", id="nothing"),
    pytest.param("# sip:\n", "1: is empty", id="comments alone"),
    pytest.param("- sip\n", "1: must be a table of keys and values", id="a list"),
    pytest.param("sip: {listen: 127.0.0.1:5060\n", "is not YAML", id="an open brace"),
    pytest.param("sip:\n\tlisten: x\n", "2: is not YAML", id="a tab"),
    pytest.param("a: &a [x, x]\nb: *a\n", "1: anchors (&) and aliases (*) are not read here", id="an alias"),
    pytest.param("a: &a [1]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(9)), "1: anchors (&)", id="a YAML bomb"),
    pytest.param("sip: !!python/object:os.system {}\n", "1: tags (!)", id="a tag"),
    pytest.param("sip: " + "[" * 60, "1: is nested more than", id="very deep"),
    pytest.param("sip: {}\n---\nhttp: {}\n", "2: a second document begins", id="two documents"),
    pytest.param("#" * 10_000_001, "1: has 10000001 bytes; 10000000 is the limit", id="ten megabytes"),
    pytest.param("sip: {}\nsip: {}\n", "2: key 'sip' is already at line 1", id="a table twice"),
    pytest.param("limits:\n  slice_s: 60\n  slice_s: 30\n", "3: key 'slice_s' is already at line 2", id="a key twice"),
    pytest.param("sipp: {}\n", "1: sipp: unknown key; did you mean sip?", id="an unknown table"),
    pytest.param("limit: {max_calls: 1}\n", "1: limit: unknown key; did you mean limits?", id="a table nearly right"),
    pytest.param(
        "limits:\n  max_call: 1\n", "2: limits.max_call: unknown key; did you mean max_call", id="a key nearly right"
    ),
    pytest.param("metrics: {port: 9100}\n", "1: metrics.port: unknown key; known here: listen", id="a foreign key"),
    pytest.param("sip:\n", "1: sip: has no value", id="a table without a value"),
    pytest.param("sip: 5060\n", "1: sip: must be a table", id="a table that is a number"),
    pytest.param("limits: [1]\n", "1: limits: must be a table", id="a table that is a list"),
    pytest.param("sip: {listen: }\n", "1: sip.listen: has no value", id="a value left out"),
    pytest.param("sip: {listen: 5060}\n", "sip.listen: must be HOST[:PORT] with an IP address", id="a port alone"),
    pytest.param("sip: {listen: 127.0.0.1}\n", "sip.listen: '127.0.0.1' names no port", id="no port"),
    pytest.param("sip: {listen: localhost:5060}\n", "sip.listen: must be HOST[:PORT] with an IP", id="a name"),
    pytest.param("sip: {listen: 127.0.0.1:70000}\n", "sip.listen: must be HOST[:PORT]", id="a port above all"),
    pytest.param("sip: {listen: 127.0.0.1:0}\n", "a port is a number from 1 to 65535, not 0", id="port zero"),
    pytest.param("sip: {listen: 127.0.0.256:1}\n", "sip.listen: must be HOST[:PORT]", id="an octet of 256"),
    pytest.param("sip: {listen: 'u@127.0.0.1:1'}\n", "sip.listen: must be HOST[:PORT]", id="a user in an address"),
    pytest.param("sip: {listen: '127.0.0.1:'}\n", "sip.listen: must be HOST[:PORT]", id="a colon without a port"),
    pytest.param("sip: {listen: '::1:5060:x'}\n", "sip.listen: must be HOST[:PORT]", id="IPv6 without brackets"),
    pytest.param("sip: {listen: [127.0.0.1]}\n", "sip.listen[0]: '127.0.0.1' names no port", id="a list without port"),
    pytest.param("sip: {listen: []}\n", "sip.listen: names nothing", id="a list of nothing"),
    pytest.param("sip: {listen: {}}\n", "sip.listen: must be a single value", id="a table of addresses"),
    pytest.param(
        "sip: {listen: [127.0.0.1:5060, 127.0.0.1:5060]}\n",
        "sip: listens on 127.0.0.1:5060, where sip does",
        id="an address twice",
    ),
    pytest.param(
        "sip: {listen: [0.0.0.0:5060, '[::]:5060'], advertise: 192.0.2.7}\n",
        "sip.listen: phones cannot be told to send to ::",
        id="advertised for one version alone",
    ),
    pytest.param(
        "sip: {advertise: [192.0.2.7, 192.0.2.8]}\n",
        "sip.advertise: names two addresses of IPv4",
        id="advertised twice",
    ),
    pytest.param("sip: {tls: {listen: 127.0.0.1:5061}}\n", "sip.tls.listen: needs sip.tls.certificate", id="TLS alone"),
    pytest.param("sip: {tls: {certificate: a}}\n", "sip.tls.certificate: needs sip.tls.key", id="a SIP key left out"),
    pytest.param(
        "sip: {tls: {listen: 127.0.0.1:5060, certificate: a, key: b}}\n",
        "sip: sip.tls listens on 127.0.0.1:5060, where sip does",
        id="TLS on the port of TCP",
    ),
    pytest.param("sip: {tls: {verify_clients: true}}\n", "verify_clients: needs sip.tls.ca", id="verified by anybody"),
    pytest.param("sip: {dns: {servers: [ns.example]}}\n", "sip.dns.servers[0]: must be HOST", id="a name for DNS"),
    pytest.param(
        "sip: {listen: 0.0.0.0:5060}\n", "sip.listen: phones cannot be told to send to 0.0.0.0", id="advertise nowhere"
    ),
    pytest.param("sip: {advertise: 0.0.0.0}\n", "sip.advertise: nobody can send to 0.0.0.0", id="advertise everywhere"),
    pytest.param("sip: {realm: 'a\"b'}\n", "sip.realm: must be 1 to 64 ASCII characters", id="a quote in a realm"),
    pytest.param(f"sip: {{realm: {LONG}}}\n", "sip.realm: must be 1 to 64 ASCII characters", id="a long realm"),
    pytest.param("sip: {bindings_per_booth: 0}\n", "must be a whole number from 1 to 100, not '0'", id="no binding"),
    pytest.param(
        "sip: {registration_least_s: 3600, registration_most_s: 600}\n",
        "sip.registration_least_s: must be at most registration_most_s, which is 600",
        id="least above most",
    ),
    pytest.param(
        "sip: {registration_most_s: 7200}\n", "tcp_idle_s (3900) must be above registration_most_s (7200)", id="idle"
    ),
    pytest.param(
        "sip: {tcp_connections: 10, tcp_per_source: 20}\n", "must be at most tcp_connections, which is 10", id="source"
    ),
    pytest.param("sip: {tcp_silent_s: 1.5}\n", "sip.tcp_silent_s: must be a whole number", id="half a second"),
    pytest.param("sip: {tcp_connect_s: 5s}\n", "sip.tcp_connect_s: must be a whole number", id="a unit"),
    pytest.param("http: {listen: 127.0.0.1:5060}\n", "http: listens on 127.0.0.1:5060, where sip does", id="one port"),
    pytest.param(
        "metrics: {listen: '0.0.0.0:8080'}\n", "metrics: listens on 0.0.0.0:8080, where http does", id="every address"
    ),
    pytest.param("http: {certificate: c.pem}\n", "http.certificate: needs http.key beside it", id="no key"),
    pytest.param("http: {key: k.pem}\n", "http.key: needs http.certificate beside it", id="no certificate"),
    pytest.param(
        "http: {key_password: 'env:KEY_PASSWORD'}\n", "http.key_password: needs http.key", id="a password for nothing"
    ),
    pytest.param(
        "http: {certificate: c, key: k, key_password: hunter2}\n", "must be env:NAME or file:PATH", id="a bare secret"
    ),
    pytest.param(
        "http: {certificate: c, key: k, key_password: 'env:SIPSHOP_NOT_SET'}\n",
        "http.key_password: ",
        id="a secret that is not there",
    ),
    pytest.param(
        "http: {certificate: c, key: k, key_password: 'env:A B'}\n", "must be env:NAME", id="no name of a variable"
    ),
    pytest.param(
        "http: {certificate: c, key: k, key_password: 'file:'}\n", "must be env:NAME or file:PATH", id="a file unnamed"
    ),
    pytest.param("http: {trusted_proxies: 127.0.0.1}\n", "http.trusted_proxies: must be a list", id="one proxy"),
    pytest.param(
        "http: {trusted_proxies: [proxy]}\n", "http.trusted_proxies[0]: must be an IP address", id="a proxy by name"
    ),
    pytest.param("http: {trusted_proxies: [0.0.0.0/0]}\n", "0.0.0.0/0 is everybody", id="everybody a proxy"),
    pytest.param("http: {trusted_proxies: [10.0.0.1/8]}\n", "must be an IP address or a network", id="host bits"),
    pytest.param('http: {token_file: ""}\n', "http.token_file: must be the path of a file", id="no path"),
    pytest.param('database: {path: "a\\nb"}\n', "database.path: must be the path of a file, not 'a\\nb'", id="newline"),
    pytest.param("database: {audit_every_s: -1}\n", "from 0 to 604800, not '-1'", id="a negative interval"),
    pytest.param("database: {audit_every_s: hourly}\n", "must be a whole number from 0", id="an interval in words"),
    pytest.param(
        "sip: {shield: {scanners: [x]}}\n", "scanners[0]: must be at least 4 char", id="a scanner as any phone"
    ),
    pytest.param("sip: {shield: {failures: -1}}\n", "sip.shield.failures: must be a whole number", id="failures"),
    pytest.param("limits: {max_calls: 0}\n", "limits.max_calls: must be a whole number from 1", id="no calls"),
    pytest.param("limits: {max_calls: 10_000}\n", "limits.max_calls: must be a whole number", id="an underscore"),
    pytest.param("limits: {max_calls: 1e4}\n", "limits.max_calls: must be a whole number", id="an exponent"),
    pytest.param("limits: {max_calls: yes}\n", "limits.max_calls: must be a whole number", id="a yes"),
    pytest.param(f"limits: {{max_calls: {'9' * 400}}}\n", "limits.max_calls: must be a whole", id="400 digits"),
    pytest.param("sip: {session_s: 60}\n", "sip.session_s: must be 0 (never) or at least session", id="a session"),
    pytest.param("limits: {max_call_s: 30}\n", "limits.slice_s: must be at most max_call_s, which is 30", id="slices"),
    pytest.param("limits: {overload_lag_ms: 1}\n", "from 10 to 60000, not '1'", id="overloaded at once"),
    pytest.param("limits: {drain_s: 86400}\n", "limits.drain_s: must be a whole number from 1 to 3600", id="a day"),
    pytest.param("retention: {hidden_digits: 0}\n", "hidden_digits: must be a whole number from 1", id="no mask"),
    pytest.param("retention: {numbers_days: never}\n", "numbers_days: must be a whole number from 0", id="never"),
    pytest.param("logs: {format: xml}\n", "logs.format: must be one of text, json, not 'xml'", id="another format"),
    pytest.param("logs: {level: warn}\n", "not 'warn'; did you mean warning?", id="a level nearly right"),
    pytest.param("logs: {files: 5}\n", "logs.files: needs logs.file beside it", id="files without a file"),
    pytest.param("logs: {file: x, files: 1}\n", "logs.files: must be a whole number from 2 to 1000", id="one file"),
    pytest.param("logs: {days: 5}\n", "logs.days: needs logs.file beside it", id="days without a file"),
    pytest.param(
        "logs: {file: x, days: 30}\n", "logs.files: must be at least 32 for 30 days: each begins", id="too few files"
    ),
    pytest.param("worlds: conf/demo.yaml\n", "worlds: must be a list", id="worlds not as a list"),
    pytest.param("worlds: [a, a]\n", "worlds: names a file twice", id="a world twice"),
    pytest.param("worlds: [{a: b}]\n", "worlds[0]: must be a text", id="a world that is a table"),
    pytest.param("worlds: [/nowhere/at/all.yaml]\n", "/nowhere/at/all.yaml: cannot be read", id="a world not there"),
    pytest.param(
        "http: {certificate: /no.pem, key: /no.key}\n",
        "http: the certificate /no.pem cannot be read",
        id="no such file",
    ),
]


@pytest.mark.parametrize(("text", "problem"), BROKEN)
def test_a_broken_configuration_is_told_and_changes_nothing(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY_PASSWORD", "open-sesame")
    file = tmp_path / "sipshop.yaml"
    file.write_text(text)

    checked = CliRunner().invoke(cli.app, ["check-config", "sipshop.yaml"])
    assert checked.exit_code == 2
    assert checked.stdout == ""
    assert problem in checked.stderr
    assert all(line.startswith("sipshop: ") and line.isprintable() for line in checked.stderr.splitlines())
    assert "hunter2" not in checked.stderr

    if "/nowhere" not in text:  # a server looks for a world only once it has a database to put it into
        with pytest.raises(SystemExit, match="2"):
            app.run_server(Path("sipshop.yaml"))
        started = capsys.readouterr()
        assert problem.removeprefix("http: ") in started.err
        assert started.out == ""
    assert list(tmp_path.iterdir()) == [file]


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN) > 60
    assert len({str(each.id) for each in BROKEN}) == len(BROKEN)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsErrors) as caught:
        parse("sip: {listen: x, realm: ''}\nhttp: {listen: y}\nlimits: {max_calls: 0}\nlogs: {level: loud}\nother: 1\n")
    assert [(each.line, each.field) for each in caught.value.errors] == [
        (1, "sip.listen"),
        (1, "sip.realm"),
        (2, "http.listen"),
        (3, "limits.max_calls"),
        (4, "logs.level"),
        (5, "other"),
    ]


def test_what_is_no_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "sipshop.yaml"
    file.write_bytes(b"sip: {}\nlogs: {file: \xff}\n")
    checked = CliRunner().invoke(cli.app, ["check-config", str(file)])
    assert (checked.exit_code, checked.stderr) == (2, f"sipshop: {file}:2: is not UTF-8 text\n")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    checked = CliRunner().invoke(cli.app, ["check-config", "/dev/zero"])
    assert checked.exit_code == 2
    assert "/dev/zero:1: has 10000001 bytes; 10000000 is the limit" in checked.stderr


@given(st.text(max_size=60) | st.from_regex(r"[0-9.:\[\]a-f/@]{0,30}", fullmatch=True))
def test_what_is_taken_for_an_address_is_one(text: str) -> None:
    try:
        host, port = parse_address(text)
    except ValueError:
        return
    again = f"[{host}]" if ":" in host else host
    assert parse_address(again if port is None else f"{again}:{port}") == (host, port)


# What a reload changes


RUNNING: Final = Settings()
TLS: Final = replace(RUNNING, http=HttpSettings(certificate="c.pem", key="c.key"))


@pytest.mark.parametrize(
    ("running", "wanted", "changed", "restart"),
    [
        pytest.param(RUNNING, RUNNING, [], [], id="nothing"),
        pytest.param(
            RUNNING,
            replace(RUNNING, limits=LimitSettings(max_calls=5, drain_s=1)),
            ["limits.max_calls: 10000 -> 5", "limits.drain_s: 10 -> 1"],
            [],
            id="limits change at once",
        ),
        pytest.param(
            RUNNING,
            replace(RUNNING, logs=LogSettings(level=LogLevel.DEBUG, file="x.log")),
            ["logs.level: info -> debug", "logs.file: nothing -> x.log"],
            [],
            id="so does the log",
        ),
        pytest.param(
            RUNNING,
            replace(
                RUNNING, database=DatabaseSettings(path="other.db", audit_every_s=60), sip=SipSettings(realm="other")
            ),
            ["database.audit_every_s: 3600 -> 60"],
            ["sip.realm: sipshop -> other", "database.path: data/sipshop.db -> other.db"],
            id="a part of a table changes and the rest waits",
        ),
        pytest.param(
            RUNNING,
            replace(RUNNING, sip=SipSettings(listen=("::1", 5062)), metrics=MetricsSettings(listen=("::1", 9100))),
            [],
            ["sip.listen: 127.0.0.1:5060 -> [::1]:5062", "metrics.listen: nothing -> [::1]:9100"],
            id="listeners wait",
        ),
        pytest.param(
            TLS,
            replace(TLS, http=replace(TLS.http, certificate="d.pem", trusted_proxies=("::1",))),
            ["http.certificate: c.pem -> d.pem"],
            ["http.trusted_proxies: nothing -> ::1"],
            id="a certificate changes and proxies wait",
        ),
        pytest.param(
            RUNNING,
            TLS,
            [],
            ["http.certificate: nothing -> c.pem", "http.key: nothing -> c.key"],
            id="HTTPS begins at a restart",
        ),
        pytest.param(
            TLS,
            RUNNING,
            [],
            ["http.certificate: c.pem -> nothing", "http.key: c.key -> nothing"],
            id="and ends at one",
        ),
        pytest.param(
            RUNNING,
            replace(RUNNING, sip=SipSettings(shield=Rules(failures=3), tcp_idle_s=9000)),
            ["sip.shield.failures: 5 -> 3"],
            ["sip.tcp_idle_s: 3900 -> 9000"],
            id="limits of strangers at once",
        ),
        pytest.param(
            RUNNING, replace(RUNNING, worlds=("a", "b")), [], ["worlds: nothing -> a, b"], id="worlds are for a start"
        ),
    ],
)
def test_a_reload_says_what_changes_and_what_waits(
    running: Settings, wanted: Settings, changed: list[str], restart: list[str]
) -> None:
    holds, done = reloaded(running, wanted)
    assert [str(change) for change in done.changed] == changed
    assert [str(change) for change in done.restart] == restart
    assert reloaded(holds, wanted)[1].changed == (), "what could change has changed"
    assert (holds == wanted) == (not restart)


# The export

TARGET = "export: {{targets: [{{name: books, {}}}]}}"


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        pytest.param("batch: 5", "a target has one of file, url and command", id="none"),
        pytest.param("file: f, command: [x]", "a target has one of file, url and command", id="two"),
        pytest.param("url: 'https://h/'", "needs secret beside it", id="unsigned"),
        pytest.param("file: f, secret: env:BOOKS", "needs url beside it", id="a secret for nothing"),
        pytest.param("url: 'http://example.net/', secret: env:BOOKS", "must begin with https", id="in the clear"),
        pytest.param("url: 'https://u:hush@h/', secret: env:BOOKS", "without a user", id="a password in a url"),
        pytest.param("url: 'https://', secret: env:BOOKS", "must be https://HOST/PATH", id="a url of nowhere"),
        pytest.param("url: 'https://h/', secret: env:SHORT", "is too short", id="a secret that can be guessed"),
        pytest.param("command: []", "names no program", id="no program"),
        pytest.param("file: f, batch: 0", "batch", id="a batch of nothing"),
    ],
)
def test_a_target_that_cannot_be_is_refused_without_its_secrets(target: str, wrong: str) -> None:
    secrets = {"env:BOOKS": "b" * 24, "env:SHORT": "tiny"}
    with pytest.raises(SettingsErrors) as refusal:
        parse_settings(TARGET.format(target), "f", secrets.__getitem__)
    assert wrong in str(refusal.value)
    assert "hush" not in str(refusal.value)
    assert "tiny" not in str(refusal.value)


def test_a_target_is_taken_by_a_reload_and_its_secret_is_not_shown() -> None:
    url = "url: 'https://books.example/in?key=hush', secret: env:BOOKS"
    before = parse_settings("worlds: []", "f", str)
    after = parse_settings(TARGET.format(url), "f", lambda _: "b" * 24)
    holds, done = reloaded(before, after)
    assert holds.export == after.export
    assert [str(change) for change in done.changed] == ["export.targets: nothing -> books (https://books.example)"]
    assert "hush" not in repr(after)
    assert "bbbb" not in repr(after)


def test_two_targets_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsErrors, match="there is a target named 'books' already"):
        parse_settings("export: {targets: [{name: books, file: a}, {name: books, file: b}]}", "f", str)
