#!/usr/bin/env python3
"""Grafana's dashboards, from the tables below: `dashboards.py` writes dashboards/*.json, `dashboards.py --check` compares.

A panel is its title, unit, queries (PromQL, legend), a sentence on how to read it, and where it turns red. The alerts'
thresholds are drawn, so that a graph says how far it is from waking somebody.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCHEMA = 39  # Grafana 11; newer ones read it, too
COLUMNS, HEIGHT, ACROSS = 24, 8, 3
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
ALL = 'namespace=~"$namespace",job=~"$service"'
NS = 'namespace=~"$namespace"'
HTTP, GRPC = "http_request_duration_seconds", "grpc_request_duration_seconds"


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    queries: list[tuple[str, str]]
    text: str
    red: float | None = None
    low_is_red: bool = False
    kind: str = "timeseries"
    extra: dict = field(default_factory=dict)

    def thresholds(self) -> dict:
        steps = [{"color": "green", "value": None}]
        if self.red is not None:
            good, bad = ("red", "green") if self.low_is_red else ("green", "red")
            steps = [{"color": good, "value": None}, {"color": bad, "value": self.red}]
        return {"mode": "absolute", "steps": steps}

    def json(self, number: int) -> dict:
        defaults = {"unit": self.unit, "min": 0, "thresholds": self.thresholds()}
        if self.kind == "timeseries":
            style = "line" if self.red is not None else "off"
            defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "thresholdsStyle": {"mode": style}}
            options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
        else:
            options = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
        row, column = divmod(number, ACROSS)
        width = COLUMNS // ACROSS
        return {
            "id": number + 1, "type": self.kind, "title": self.title, "description": self.text, "datasource": SOURCE,
            "gridPos": {"x": column * width, "y": row * HEIGHT, "w": width, "h": HEIGHT},
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
            "targets": [{"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                        for n, (expr, legend) in enumerate(self.queries)],
        }


def rate(metric: str, by: str, match: str = ALL) -> str:
    return f"sum by ({by}) (rate({metric}{{{match}}}[$__rate_interval]))"


def quantile(q: float, histogram: str, by: str, match: str = ALL) -> str:
    return f"histogram_quantile({q}, {rate(f'{histogram}_bucket', f'{by}, le', match)})"


def share(part: str, whole: str) -> str:
    """Zero where there is no part, nothing where there is no whole."""
    return f"({part} or 0 * {whole}) / {whole}"


def most(metric: str, by: str, match: str = ALL) -> str:
    """What every process of a service tells alike."""
    return f"max by ({by}) ({metric}{{{match}}})"


def stat(title: str, unit: str, query: str, text: str, red: float | None, low_is_red: bool = False) -> Panel:
    return Panel(title, unit, [(query, "__auto")], text, red, low_is_red, "stat")


FAILED = ALL + ',status=~"5.."'
CALLS_FAILED = ALL + ',status=~"2|4|13|14|15"'
OVERVIEW = [
    Panel("Processes that answer", "short", [(f"sum by (job) (up{{{ALL}}})", "{{job}}")],
          "Scraped within the last interval. ServiceGone fires at none.", 1, True),
    Panel("Checks that fail", "short", [(f"sum by (job, check) (1 - health_check_passes{{{ALL}}})", "{{job}}: {{check}}")],
          "Processes that are not ready, by what they miss: postgres, nats, identity's keys.", 1),
    Panel("Age of the keys of logins", "s",
          [(f"max by (job) (time() - auth_keys_fetched_timestamp_seconds{{{ALL}}})", "{{job}}")],
          "Fetched from identity every 600 s, trusted for 3,600.", 1500),
    Panel("Traffic: requests", "reqps", [(rate(f"{HTTP}_count", "job"), "{{job}}")], "HTTP, whatever the answer."),
    Panel("Errors: requests", "percentunit",
          [(share(rate(f"{HTTP}_count", "job", FAILED), rate(f"{HTTP}_count", "job")), "{{job}}")],
          "The share answered with a 5xx; 503 among them is a client that was asked to come again.", 0.0144),
    Panel("Latency: requests", "s", [(quantile(0.99, HTTP, "job"), "{{job}} 99 %"), (quantile(0.5, HTTP, "job"), "{{job}} 50 %")],
          "Uploads are in it and take as long as their file.", 1),
    Panel("Traffic: calls of peers", "reqps", [(rate(f"{GRPC}_count", "job"), "{{job}}")], "gRPC, by the service that answers."),
    Panel("Errors: calls of peers", "percentunit",
          [(share(rate(f"{GRPC}_count", "job", CALLS_FAILED), rate(f"{GRPC}_count", "job")), "{{job}}")],
          "Unknown, too late, internal, unavailable or lost.", 0.0144),
    Panel("Latency: calls of peers", "s", [(quantile(0.99, GRPC, "job"), "{{job}} 99 %"), (quantile(0.5, GRPC, "job"), "{{job}} 50 %")],
          "Of a stream, until it begins.", 0.5),
    Panel("Saturation: connections to Postgres", "percentunit",
          [(f"max by (job) (postgres_connections_in_use{{{ALL}}} / postgres_connections_max{{{ALL}}})", "{{job}}")],
          "The fullest pool of each service.", 0.9),
    Panel("Saturation: operations without a connection", "ops", [(rate("postgres_connection_timeouts_total", "job"), "{{job}}")],
          "Waited 2 s in vain and were answered 503.", 0.0167),
    Panel("Saturation: memory", "percentunit",
          [(f"max by (job) (process_resident_memory_bytes{{{ALL}}} / process_memory_limit_bytes{{{ALL}}})", "{{job}}")],
          "Of the container's limit; zero where there is none.", 0.9),
    Panel("Processor", "short", [(f"sum by (job) (rate(process_cpu_milliseconds_total{{{ALL}}}[$__rate_interval])) / 1000", "{{job}}")],
          "Cores in use."),
    Panel("Slowest routes", "s", [(f"topk(10, {quantile(0.99, HTTP, 'job, method, route')})", "{{job}} {{method}} {{route}}")],
          "The ten slowest at the 99th percentile."),
    Panel("Time left of certificates", "s", [(f"min by (job) (tls_certificate_expires_at_seconds{{{ALL}}} - time())", "{{job}}")],
          "Renewed 240 h before the end; infinite without TLS.", 604800, True),
    Panel("Open files", "short", [(most("process_open_fds", "job"), "{{job}}")], "The most of any process: connections, mostly."),
]

PIPES = [
    Panel("Outbox: oldest event", "s", [(most("outbox_oldest_pending_seconds", "job"), "{{job}}")],
          "How long the first event that is not in the stream has waited.", 60),
    Panel("Outbox: events", "short", [(most("outbox_events_pending", "job"), "{{job}}")], "Recorded and not in the stream yet; counting stops at 100,000."),
    Panel("Outbox: published", "eps", [(rate("outbox_events_published_total", "job"), "{{job}}")], "Acknowledged by the stream."),
    Panel("Consumers: events that wait", "short", [(most("outbox_consumer_pending_events", "job, durable"), "{{durable}}")],
          "In the stream, not handled yet.", 5000),
    Panel("Consumers: handled", "eps", [(rate("outbox_events_received_total", "durable"), "{{durable}}")], "Deliveries, repeated ones among them."),
    Panel("Consumers: from event to effect", "s", [(quantile(0.99, "outbox_event_delay_seconds", "durable"), "{{durable}} 99 %")],
          "Up to the end of the handler; the last bucket ends at 30 s.", 10),
    Panel("Dead letters", "short", [(most("outbox_dead_letters_waiting", "job, durable"), "{{durable}}")], "Wait for a person: `<service> dead-letters list`.", 1),
    Panel("Events given up", "eps", [(rate("outbox_dead_letters_total", "durable"), "{{durable}}")], "After five attempts."),
    Panel("Streams: events lost", "short",
          [(f"sum by (job) (increase(outbox_events_lost_total{{{ALL}}}[$__rate_interval]))", "{{job}}")],
          "Gone from the stream and published again. Never, on a NATS that syncs.", 1),
    Panel("Work queue: hints lost", "short", [(f"sum(increase(broadcast_hints_lost_total{{{NS}}}[$__rate_interval]))", "hints")],
          "Gone from the work queue and made again.", 1),
]

WORKER = NS + ',job="broadcast-worker"'
ENDED = "broadcast_recipients_total"
BROADCAST = [
    Panel("Recipients that remain", "short", [(most("broadcast_recipients_remaining", "namespace", NS), "{{namespace}}")],
          "Confirmed and without an end. Workers are scaled by it."),
    Panel("Ended, by outcome", "short", [(rate(ENDED, "outcome", NS), "{{outcome}}")], "Recipients a second."),
    stat("Left at this rate", "s",
         f"{most('broadcast_recipients_remaining', 'namespace', NS)} / ({rate(ENDED, 'namespace', NS)} > 0)",
         "Remaining recipients by the rate at which they end; empty while nothing ends.", 14400),
    Panel("Held back by caps", "percentunit",
          [(share(rate(ENDED, "namespace", NS + ',outcome="capped"'), rate(ENDED, "namespace", NS)), "{{namespace}}")],
          "Of those that ended: had their message of the day or week already.", 0.5),
    Panel("Not reached", "percentunit",
          [(share(rate(ENDED, "namespace", NS + ',outcome="dead"'), rate(ENDED, "namespace", NS)), "{{namespace}}")],
          "Of those that ended: refused by the channel for good.", 0.05),
    Panel("Chunks in flight", "short", [(most("broadcast_chunks_in_flight", "namespace", NS), "{{namespace}}")],
          "Queued or being sent; the window is 64 (SHEQUN_WINDOW_CHUNKS)."),
    Panel("Chunks dispatched", "short", [(rate("broadcast_chunks_dispatched_total", "namespace", NS), "{{namespace}}")], "A second."),
    Panel("Leases expired", "short", [(f"sum(increase(broadcast_leases_expired_total{{{NS}}}[$__rate_interval]))", "leases")],
          "Chunks whose worker fell silent or failed.", 1),
    Panel("Workers", "short", [(f"sum by (namespace) (up{{{WORKER}}})", "{{namespace}}")], "Processes that send.", 1, True),
    Panel("Memory of workers", "bytes", [(f"process_resident_memory_bytes{{{WORKER}}}", "{{instance}}")],
          "Two chunks in hand: it does not grow with the audience. The limit is 128 MiB.", 120795955),
    Panel("Processor of workers", "short", [(f"rate(process_cpu_milliseconds_total{{{WORKER}}}[$__rate_interval]) / 1000", "{{instance}}")], "Cores in use."),
]

REFERRAL = NS + ',job="referral-commission"'
LEDGER = [
    stat("Ledgers that do not sum to zero", "short", most("referral_ledgers_unbalanced", "namespace", NS),
         "One per tenant and currency. Anything but zero is an incident.", 1),
    stat("Last check", "s", f"time() - {most('referral_ledger_checked_timestamp_seconds', 'namespace', NS)}",
         "The ledger is checked every minute.", 600),
    stat("Orders past their hold", "short", most("referral_orders_overdue", "namespace", NS),
         "Their commissions should be available; a minute late or more.", 1),
    Panel("Order events", "short", [(rate("referral_order_events_total", "outcome", NS), "{{outcome}}")],
          "A second. Parked ones are kept without (all of) their effect: `GET /v1/parked`."),
    Panel("Orders that could not mature", "short", [(f"sum by (namespace) (increase(referral_orders_not_matured_total{{{NS}}}[$__rate_interval]))", "{{namespace}}")],
          "Attempts; the log names the order.", 1),
    Panel("Requests", "reqps", [(rate(f"{HTTP}_count", "method, route", REFERRAL), "{{method}} {{route}}")], "By route."),
    Panel("Latency", "s", [(quantile(0.99, HTTP, "route", REFERRAL), "{{route}} 99 %")], "By route.", 1),
    Panel("Connections in use", "short", [(f"max by (namespace) (postgres_connections_in_use{{{REFERRAL}}})", "{{namespace}}"),
                                          (f"max by (namespace) (postgres_connections_max{{{REFERRAL}}})", "at most")],
          "Orders of one tenant wait for each other at its hot accounts."),
    Panel("Commission events not published", "s", [(most("outbox_oldest_pending_seconds", "namespace", REFERRAL), "{{namespace}}")],
          "How long the oldest has waited.", 60),
]


def variable(name: str, label: str, query: str) -> dict:
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name},
            "definition": query, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"}}


def dashboard(uid: str, title: str, panels: list[Panel]) -> dict:
    variables = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}},
        variable("namespace", "Namespace", "label_values(health_check_passes, namespace)"),
        variable("service", "Service", 'label_values(health_check_passes{namespace=~"$namespace"}, job)'),
    ]
    return {
        "uid": uid, "title": title, "tags": ["shequn"], "schemaVersion": SCHEMA, "version": 1, "editable": False,
        "timezone": "browser", "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "graphTooltip": 1,
        "links": [{"type": "dashboards", "title": "Shequn", "tags": ["shequn"], "asDropdown": True, "keepTime": True}],
        "templating": {"list": variables}, "annotations": {"list": []},
        "panels": [panel.json(number) for number, panel in enumerate(panels)],
    }


DASHBOARDS = {
    "overview": dashboard("shequn-overview", "Shequn: overview", OVERVIEW),
    "pipes": dashboard("shequn-pipes", "Shequn: events on their way", PIPES),
    "broadcast": dashboard("shequn-broadcast", "Shequn: mass messages", BROADCAST),
    "ledger": dashboard("shequn-ledger", "Shequn: ledger", LEDGER),
}


def written(content: dict) -> str:
    """A line per panel, so that a change of one is one line of a diff."""
    frame = json.dumps(content | {"panels": []}, indent=1, ensure_ascii=False)
    panels = ",\n".join(f"  {json.dumps(panel, ensure_ascii=False)}" for panel in content["panels"])
    return frame.replace('"panels": []', f'"panels": [\n{panels}\n ]') + "\n"


def main() -> int:
    is_check, stale = "--check" in sys.argv[1:], []
    for name, content in DASHBOARDS.items():
        path = HERE / "dashboards" / f"{name}.json"
        text = written(content)
        if not is_check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    stale += sorted(path.name for path in (HERE / "dashboards").glob("*.json") if path.stem not in DASHBOARDS)
    if stale:
        print(f"not what dashboards.py says: {', '.join(stale)}\n  remedy: {Path(__file__)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
