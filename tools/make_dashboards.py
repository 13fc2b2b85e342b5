"""Write the Grafana dashboards of conf/grafana/dashboards from the table below; a test holds that they are its.

A panel is a title, what it tells, its unit and its queries; where it stands follows from the order. Every query is
asked of a real Prometheus by tests/wire/test_prometheus.py, and drawn by tools/draw_dashboards.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent.parent / "conf" / "grafana" / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "sipshop"}  # as conf/grafana/provisioning names it
WIDTH: Final = 24  # of Grafana's grid
COLUMNS: Final = 3
HEIGHT: Final = 8

#: Why a booth that we know is refused, by its own doing or its shop's.
BOOTHS_CAUSES: Final = "locked|busy|suspended|no_funds|bad_number|no_rate|forbidden"


@dataclass(frozen=True, slots=True)
class Panel:
    """A drawing of queries over time; `queries` are (PromQL, legend), `unit` is Grafana's name of one."""

    title: str
    tells: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _quantiles(name: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """The median and the 95th and 99th percentile of a histogram."""
    kept = f"le, {by}" if by else "le"
    legend = f" to {{{{{by}}}}}" if by else ""
    return tuple(
        (f"histogram_quantile({quantile}, sum by ({kept}) (rate({name}_bucket[5m])))", f"p{quantile * 100:.0f}{legend}")
        for quantile in (0.5, 0.95, 0.99)
    )


DASHBOARDS: Final[dict[str, tuple[Panel, ...]]] = {
    "operations": (
        Panel("Answering", "1 while Prometheus is answered.", "short", (('up{job="sipshop"}', "{{instance}}"),)),
        Panel("Live calls", "From the admitted INVITE to the end.", "short", (("sum(sipshop_calls_active)", "calls"),)),
        Panel(
            "Calls that ended",
            "How they came out.",
            "ops",
            (("sum by (result) (rate(sipshop_calls_total[5m]))", "{{result}}"),),
        ),
        Panel(
            "Refused",
            "The eight most frequent causes; each call and registration is challenged once.",
            "ops",
            (("topk(8, sum by (cause) (rate(sipshop_refused_total[5m])))", "{{cause}}"),),
        ),
        Panel(
            "Dropped without an answer",
            "The five most frequent reasons.",
            "ops",
            (("topk(5, sum by (reason) (rate(sipshop_dropped_total[5m])))", "{{reason}}"),),
        ),
        Panel(
            "Setup that we add",
            "INVITE in to INVITE out, 2xx in to 200 out.",
            "s",
            _quantiles("sipshop_added_seconds"),
        ),
        Panel("Commits", "A caller's 200 waits for one or two.", "s", _quantiles("sipshop_commit_seconds")),
        Panel(
            "Writes in a commit",
            "How many share one, and how many wait.",
            "short",
            (
                ("rate(sipshop_commit_writes_total[5m]) / rate(sipshop_commit_seconds_count[5m])", "in a commit"),
                ("sipshop_journal_pending", "waiting"),
            ),
        ),
        Panel(
            "Lag of the event loop", "Above a second calls are refused.", "s", _quantiles("sipshop_loop_lag_seconds")
        ),
        Panel(
            "CPU",
            "Of one core; the server uses one.",
            "percentunit",
            (("rate(sipshop_process_cpu_seconds_total[5m])", "used"),),
        ),
        Panel("Memory", "In RAM.", "bytes", (("sipshop_process_resident_memory_bytes", "resident"),)),
        Panel(
            "Open files",
            "Sockets are files too.",
            "short",
            (("sipshop_process_open_fds", "open"), ("sipshop_process_max_fds", "most")),
        ),
        Panel(
            "Disk",
            "Of the database's filesystem.",
            "bytes",
            (("sipshop_disk_free_bytes", "free"), ("sipshop_disk_size_bytes", "size")),
        ),
        Panel("Database", "The file and its log.", "bytes", (("sipshop_database_bytes", "{{file}}"),)),
        Panel(
            "Tables of the engine",
            "All come back to zero, but bindings and nonces; one that only grows is a leak.",
            "short",
            (("sipshop_table_size", "{{table}}"),),
        ),
    ),
    "carriers": (
        Panel("Trunks", "0 after three failures in a row.", "short", (("sipshop_trunk_up", "{{trunk}}"),)),
        Panel(
            "Attempts",
            "By trunk and outcome.",
            "ops",
            (("sum by (trunk, outcome) (rate(sipshop_trunk_attempts_total[5m]))", "{{trunk}} {{outcome}}"),),
        ),
        Panel(
            "Answered",
            "The share of attempts that was answered (ASR).",
            "percentunit",
            (("sipshop:trunk_answered:ratio10m", "{{trunk}}"),),
        ),
        Panel(
            "Failed",
            "The share of attempts that failed or met silence.",
            "percentunit",
            (("sipshop:trunk_failures:ratio10m", "{{trunk}}"),),
        ),
        Panel(
            "Calls by carrier",
            "Of the trunk that answered or was tried last.",
            "ops",
            (
                (
                    "sum by (tenant, carrier, result) (rate(sipshop_calls_total[5m]))",
                    "{{tenant}} {{carrier}} {{result}}",
                ),
            ),
        ),
        Panel(
            "From INVITE to ringing and answer",
            "Mostly the carriers' time.",
            "s",
            _quantiles("sipshop_setup_seconds", "to"),
        ),
        Panel(
            "Sold at a loss",
            "Calls on which a party, or the provider by a trunk, lost.",
            "short",
            (("increase(sipshop_losses_total[1h])", "{{tenant}} {{party}}"),),
        ),
        Panel(
            "Full",
            "Attempts that a cap of ours kept from being made.",
            "ops",
            (('sum by (trunk) (rate(sipshop_trunk_attempts_total{outcome="full"}[5m]))', "{{trunk}}"),),
        ),
        Panel(
            "No carrier took the call",
            "Every trunk failed, or no route matched.",
            "ops",
            (
                (
                    'sum by (cause) (rate(sipshop_refused_total{cause=~"trunks_failed|no_route|no_rate_above"}[5m]))',
                    "{{cause}}",
                ),
            ),
        ),
    ),
    "shops": (
        Panel("Live calls", "By shop.", "short", (("sipshop_calls_active", "{{tenant}} {{shop}}"),)),
        Panel("Phones", "Bindings that are registered.", "short", (("sipshop_registrations", "{{tenant}} {{shop}}"),)),
        Panel(
            "Shops without a phone",
            "Those with booths that authenticate by address never have one.",
            "short",
            (("sum(sipshop_registrations == bool 0)", "shops"),),
        ),
        Panel(
            "Why booths are refused",
            "What an operator is asked about.",
            "ops",
            (
                (
                    f'sum by (cause) (rate(sipshop_refused_total{{cause=~"{BOOTHS_CAUSES}"}}[5m]))',
                    "{{cause}}",
                ),
            ),
        ),
        Panel(
            "Registrations refused",
            "Wrong names, too many phones, out of order.",
            "ops",
            (('sum by (cause) (rate(sipshop_refused_total{cause=~"registrar|wrong_aor"}[5m]))', "{{cause}}"),),
        ),
        Panel(
            "Challenges",
            "One a call and registration is normal; many more are passwords being tried.",
            "ops",
            (('sum(rate(sipshop_refused_total{cause="unauthenticated"}[5m]))', "401"),),
        ),
    ),
    "money": (
        Panel(
            "Balance",
            "Of each party with the one above it.",
            "short",
            (("sipshop_party_balance", "{{party}} {{currency}}"),),
        ),
        Panel(
            "Available",
            "Balance and credit limit less what calls hold; unlimited parties are not here.",
            "short",
            (("sipshop_party_available", "{{party}} {{currency}}"),),
        ),
        Panel("Held", "Set aside for live calls.", "short", (("sipshop_party_held", "{{party}} {{currency}}"),)),
        Panel(
            "Spent in an hour",
            "At the rate of the last five minutes.",
            "short",
            (("3600 * rate(sipshop_party_charged_total[5m])", "{{party}} {{currency}}"),),
        ),
        Panel(
            "Runway",
            "How long the money lasts at the last hour's rate.",
            "s",
            (("sipshop:party_runway_seconds", "{{party}}"),),
        ),
        Panel(
            "Refused for want of money",
            "By the customer's session or any party above it.",
            "ops",
            (('sum(rate(sipshop_refused_total{cause="no_funds"}[5m]))', "402"),),
        ),
        Panel(
            "Breaches of the books", "What the last audit found.", "short", (("sipshop_audit_violations", "{{law}}"),)
        ),
        Panel(
            "Since the last audit",
            "Or since the start, before the first.",
            "s",
            (
                (
                    "time() - (sipshop_audit_timestamp_seconds > 0 or sipshop_process_start_time_seconds)",
                    "since",
                ),
            ),
        ),
        Panel(
            "Waiting",
            "Calls that hold money, and CDRs that are not on the disk.",
            "short",
            (('sipshop_table_size{table=~"holds|unsettled_calls|unwritten_cdrs"}', "{{table}}"),),
        ),
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    return {
        "uid": f"sipshop-{name}",
        "title": f"sipshop: {name}",
        "tags": ["sipshop"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "editable": False,
        "panels": list(_panels(DASHBOARDS[name])),
    }


def _panels(panels: tuple[Panel, ...]) -> Iterator[dict[str, Any]]:
    width = WIDTH // COLUMNS
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        yield {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "description": panel.tells,
            "datasource": SOURCE,
            "gridPos": {"h": HEIGHT, "w": width, "x": column * width, "y": row * HEIGHT},
            "fieldConfig": {
                "defaults": {"unit": panel.unit, "min": 0} if panel.title != "Balance" else {"unit": panel.unit}
            },
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for place, (query, legend) in enumerate(panel.queries)
            ],
        }


def text_of(name: str) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard(name), indent=2) + "\n"


def main() -> None:
    """Write them all."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
