#!/usr/bin/env python3
"""Writes portcullis.json, the dashboard. With --check it only says whether that is up to date."""

import json
import pathlib
import sys

FILE = pathlib.Path(__file__).with_name("portcullis.json")
WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

# What every query is narrowed to.
INSTANCE = 'instance=~"$instance"'
LISTENER = INSTANCE + ',listener=~"$listener"'
PLUGIN = INSTANCE + ',plugin=~"$plugin"'
UPSTREAM = INSTANCE + ',upstream=~"$upstream"'

GREEN, YELLOW, RED = "green", "yellow", "red"


def rate(metric, labels, by):
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share, metric, labels, by):
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def quantiles(metric, labels, by, legend):
    return [(quantile(share, metric, labels, by), f"{legend} {name}") for share, name in
            ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def steps(*values):
    """Colours from values on: steps(0.8, 0.9) is green, yellow from 0.8, red from 0.9."""
    colours = [RED] if len(values) == 1 else [YELLOW, RED]
    return [{"color": GREEN, "value": None}] + [
        {"color": colour, "value": value} for colour, value in zip(colours, values)]


DOWN_IS_BAD = [{"color": RED, "value": None}, {"color": GREEN, "value": 1}]


def panel(kind, title, about, queries, unit="short", thresholds=None, width=8, height=8, stack=False, **more):
    defaults = {"unit": unit, "min": 0}
    if thresholds:
        defaults["thresholds"] = {"mode": "absolute", "steps": thresholds}
    if kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 25 if stack else 8,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if stack else "none"},
            "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
        }
        options = {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "graphMode": "area"}
    options.update(more.pop("options", {}))
    defaults.update(more.pop("defaults", {}))
    targets = [{"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend,
                "instant": kind == "stat" and more.get("instant", False)}
               for n, (expr, legend) in enumerate(queries)]
    return {"type": kind, "title": title, "description": about, "datasource": SOURCE, "targets": targets,
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
            "gridPos": {"w": width, "h": height}}


def graph(*args, **more):
    return panel("timeseries", *args, **more)


def stat(title, about, query, unit="short", thresholds=None, legend="", **more):
    return panel("stat", title, about, [(query, legend)], unit, thresholds, width=4, height=4, **more)


OUTCOME = "portcullis_transactions_total"
ALL = f"sum(rate({OUTCOME}{{{LISTENER}}}[$__rate_interval]))"


def share(outcomes):
    return f'sum(rate({OUTCOME}{{{LISTENER},outcome=~"{outcomes}"}}[$__rate_interval])) / ({ALL} > 0)'


OVERVIEW = [
    stat("Ready", "Gateways that say yes at /readyz, of those that are scraped.",
         f"sum(portcullis_ready{{{INSTANCE}}}) / count(portcullis_ready{{{INSTANCE}}})", "percentunit",
         [{"color": RED, "value": None}, {"color": YELLOW, "value": 0.5}, {"color": GREEN, "value": 1}]),
    stat("Mail", "Transactions a second that ended, whatever their outcome.", ALL, "ops"),
    stat("Taken", "Share of transactions in which the client was told yes.",
         share("accepted|discarded|mixed|quarantined|spooled"), "percentunit"),
    stat("Deferred", "Share of transactions that the client has to bring again. Mail is late, not lost.",
         share("deferred"), "percentunit", steps(0.05, 0.2)),
    stat("Answer, p99", "How long 99 of 100 clients wait at most for the answer to a whole message.",
         f'histogram_quantile(0.99, sum by (le) (rate(portcullis_command_duration_seconds_bucket{{{INSTANCE},command="message"}}[$__rate_interval])))',
         "s", steps(1, 5)),
    stat("Alerts", "Alerts that fire, of the rules in config/prometheus.",
         'count(ALERTS{alertname=~"Portcullis.*",alertstate="firing"}) or vector(0)', "short", steps(1)),
]

MAIL = [
    graph("Outcomes", "Transactions that ended, by their one outcome.",
          [(rate(OUTCOME, LISTENER, "outcome"), "{{outcome}}")], "ops", stack=True, width=12),
    graph("Transactions by listener", "Rate: transactions that ended.",
          [(rate(OUTCOME, LISTENER, "listener"), "{{listener}}")], "ops", width=12),
    graph("Refused share by listener", "Errors: 4xx and 5xx, of all that ended.",
          [(f'sum by (listener) (rate({OUTCOME}{{{LISTENER},outcome="{outcome}"}}[$__rate_interval])) / (sum by (listener) (rate({OUTCOME}{{{LISTENER}}}[$__rate_interval])) > 0)',
            "{{listener}} " + outcome) for outcome in ("deferred", "rejected", "lost")],
          "percentunit", defaults={"max": 1}),
    graph("Duration of transactions", "Duration: from MAIL to the outcome, with the time that the client takes.",
          quantiles("portcullis_transaction_duration_seconds", LISTENER, "listener", "{{listener}}"), "s"),
    graph("Answers", "How long clients wait for the answer to each command (p99); plugins and upstreams included.",
          [(quantile(0.99, "portcullis_command_duration_seconds", INSTANCE, "command"), "{{command}}")], "s",
          steps(1, 5)),
    graph("Refusals", "Who refuses what, and whether the client may come again.",
          [(rate("portcullis_refusals_total", INSTANCE, "stage, by, result") + " > 0", "{{stage}}: {{by}} {{result}}")],
          "ops", stack=True),
    graph("Recipients", "What was answered to RCPT.",
          [(rate("portcullis_recipients_total", LISTENER, "result"), "{{result}}")], "ops", stack=True),
    graph("Recipients of a message", "Of complete messages.",
          [(quantile(0.5, "portcullis_message_recipients", INSTANCE, "job"), "p50"),
           (quantile(0.99, "portcullis_message_recipients", INSTANCE, "job"), "p99")]),
    graph("Size of messages", "As they came.",
          [(quantile(0.5, "portcullis_message_size_bytes", LISTENER, "listener"), "{{listener}} p50"),
           (quantile(0.99, "portcullis_message_size_bytes", LISTENER, "listener"), "{{listener}} p99")], "bytes"),
    graph("Scores", "What scores made of messages, at listeners with `scores`.",
          [(rate("portcullis_score_actions_total", LISTENER, "action"), "{{action}}")], "ops", stack=True),
    graph("In flight", "Transactions that have begun and not ended.",
          [(f"sum by (listener) (portcullis_transactions_in_flight{{{LISTENER}}})", "{{listener}}")]),
]

SESSIONS = [
    graph("Connections", "New ones, and those that were turned away before a session.",
          [(rate("portcullis_connections_total", LISTENER, "listener"), "{{listener}}"),
           (rate("portcullis_connections_refused_total", LISTENER, "reason"), "refused: {{reason}}")], "cps"),
    graph("Why sessions end", "`left` without QUIT, `refused` by a plugin or a 421, `limit` of a session.",
          [(rate("portcullis_sessions_closed_total", LISTENER, "cause"), "{{cause}}")], "ops", stack=True),
    graph("Where clients are lost", "How far sessions had come that ended without QUIT.",
          [(rate("portcullis_sessions_lost_total", LISTENER, "stage"), "{{stage}}")], "ops", stack=True),
    graph("Open", "Sessions now.",
          [(f"sum by (listener) (portcullis_connections_open{{{LISTENER}}})", "{{listener}}")]),
    graph("Duration of sessions", "From the permit to the end.",
          quantiles("portcullis_session_duration_seconds", LISTENER, "listener", "{{listener}}"), "s"),
    graph("Octets", "Received (up) and sent (down).",
          [(rate("portcullis_received_bytes_total", LISTENER, "listener"), "{{listener}} in"),
           ("-" + rate("portcullis_sent_bytes_total", LISTENER, "listener"), "{{listener}} out")], "Bps",
          defaults={"min": None}),
    graph("Commands", "As they were read.", [(rate("portcullis_commands_total", LISTENER, "command") + " > 0", "{{command}}")], "ops"),
    graph("Replies", "To clients, by code.", [(rate("portcullis_replies_total", LISTENER, "code") + " > 0", "{{code}}")], "ops"),
    graph("Limits", "Clients that reached one, by its name in the configuration.",
          [(rate("portcullis_limit_reached_total", LISTENER, "limit") + " > 0", "{{limit}}")], "ops"),
    graph("TLS handshakes", "Done, and failed by why.",
          [(rate("portcullis_tls_handshakes_total", LISTENER, "result"), "{{result}}"),
           (rate("portcullis_tls_handshake_failures_total", LISTENER, "reason") + " > 0", "failed: {{reason}}")], "ops"),
    graph("Duration of TLS handshakes", "Two round trips and two signatures.",
          quantiles("portcullis_tls_handshake_duration_seconds", INSTANCE, "job", ""), "s"),
    graph("Logins", "By mechanism and result.",
          [(rate("portcullis_auth_total", LISTENER, "mechanism, result"), "{{mechanism}} {{result}}")], "ops"),
]

PLUGINS = [
    graph("Calls", "Rate: hook calls that ended.",
          [(rate("portcullis_plugin_calls_total", PLUGIN, "plugin, hook"), "{{plugin}} {{hook}}")], "ops"),
    graph("Failures", "Errors: calls that failed, or were not made (open, poison).",
          [(rate("portcullis_plugin_failures_total", PLUGIN, "plugin, reason") + " > 0", "{{plugin}} {{reason}}")], "ops",
          steps(0.01)),
    graph("Duration, p99", "Duration: 99 of 100 calls take no longer.",
          [(quantile(0.99, "portcullis_plugin_call_duration_seconds", PLUGIN, "plugin, hook"), "{{plugin}} {{hook}}")],
          "s", steps(0.1, 0.25)),
    graph("What plugins say", "Answers to hook calls, but `next`.",
          [(rate("portcullis_plugin_calls_total", PLUGIN + ',result!="next"', "plugin, result") + " > 0",
            "{{plugin}} {{result}}")], "ops"),
    graph("Calls that run", "Begun and not ended. A line that stays up is a hook that hangs.",
          [(f"sum by (plugin, hook) (portcullis_plugin_calls_started_total{{{PLUGIN}}}) - sum by (plugin, hook) (portcullis_plugin_calls_total{{{PLUGIN}}})",
            "{{plugin}} {{hook}}")]),
    graph("Breakers", "Hooks at which a plugin is not called for now.",
          [(f"sum by (plugin) (portcullis_plugin_breaker_open{{{PLUGIN}}})", "{{plugin}}")], thresholds=steps(1)),
    graph("What failures meant", "What followed for the mail: on_failure.",
          [(rate("portcullis_plugin_failure_policy_total", PLUGIN, "plugin, action") + " > 0", "{{plugin}} {{action}}")], "ops"),
    graph("Memory", "The most that one copy had, since the start.",
          [(f"max by (plugin) (portcullis_plugin_memory_peak_bytes{{{PLUGIN}}})", "{{plugin}}")], "bytes"),
    graph("HTTP requests", "Of plugins, by what came of them.",
          [(rate("portcullis_plugin_http_requests_total", PLUGIN, "plugin, result"), "{{plugin}} {{result}}")], "ops"),
    graph("Log", "Lines that plugins wrote, and lines that were too many.",
          [(rate("portcullis_plugin_log_lines_total", PLUGIN, "plugin, level"), "{{plugin}} {{level}}"),
           (rate("portcullis_plugin_log_dropped_total", PLUGIN, "plugin"), "{{plugin}} dropped")], "ops"),
    graph("Stores", "What plugins asked of stores.",
          [(rate("portcullis_store_operations_total", INSTANCE, "store, operation, result"),
            "{{store}} {{operation}} {{result}}")], "ops"),
    graph("Duration of stores, p99", "How long operations take.",
          [(quantile(0.99, "portcullis_store_operation_duration_seconds", INSTANCE, "store, operation"),
            "{{store}} {{operation}}")], "s", steps(0.1, 0.25)),
]

UPSTREAMS = [
    graph("Up", "1 if any of its addresses can get mail.",
          [(f"min by (upstream) (portcullis_upstream_up{{{UPSTREAM}}})", "{{upstream}}"),
           (f"min by (upstream, address) (portcullis_upstream_address_up{{{UPSTREAM}}})", "{{upstream}} {{address}}")],
          defaults={"max": 1}),
    graph("Deliveries", "Rate: messages that were handed over, well or not.",
          [(rate("portcullis_upstream_delivery_duration_seconds_count", UPSTREAM, "upstream"), "{{upstream}}")], "ops"),
    graph("Errors", "Refusals by stage, failed connections, lost connections.",
          [(rate("portcullis_upstream_replies_total", UPSTREAM + ',code=~"[45].."', "upstream, stage, code"),
            "{{upstream}} {{stage}} {{code}}"),
           (rate("portcullis_upstream_connects_total", UPSTREAM + ',result!="ok"', "upstream, result") + " > 0",
            "{{upstream}} connect: {{result}}")], "ops"),
    graph("Duration of deliveries", "Duration: from the message that may leave to the last answer.",
          quantiles("portcullis_upstream_delivery_duration_seconds", UPSTREAM, "upstream", "{{upstream}}"), "s"),
    graph("Duration by stage, p99", "How long the upstream takes to answer.",
          [(quantile(0.99, "portcullis_upstream_reply_duration_seconds", UPSTREAM, "upstream, stage"),
            "{{upstream}} {{stage}}")], "s"),
    graph("Duration of connecting, p99", "With TLS, the greeting and the login.",
          [(quantile(0.99, "portcullis_upstream_connect_duration_seconds", UPSTREAM, "upstream"), "{{upstream}}")], "s"),
    graph("Connections", "In use and idle, of those that there may be.",
          [(f"sum by (upstream) (portcullis_upstream_connections{{{UPSTREAM}}})", "{{upstream}}"),
           (f"sum by (upstream) (portcullis_upstream_connections_limit{{{UPSTREAM}}})", "{{upstream}} limit")]),
    graph("Wait for a connection, p99", "0 where one was free.",
          [(quantile(0.99, "portcullis_upstream_wait_seconds", UPSTREAM, "upstream"), "{{upstream}}")], "s", steps(0.1, 1)),
    graph("Second attempts", "Transactions that went on over another connection, that got none, and that may be there twice.",
          [(rate("portcullis_upstream_retries_total", UPSTREAM, "upstream, reason"), "{{upstream}} again: {{reason}}"),
           (rate("portcullis_upstream_turned_away_total", UPSTREAM, "upstream, reason"), "{{upstream}} none: {{reason}}"),
           (rate("portcullis_upstream_ambiguous_total", UPSTREAM, "upstream"), "{{upstream}} ambiguous")], "ops"),
]

SPOOL = [
    graph("Messages that wait", "In the spool, by upstream; and those that are held.",
          [(f"sum by (upstream) (portcullis_queue_waiting{{{UPSTREAM}}})", "{{upstream}}"),
           (f"sum(portcullis_queue_held{{{INSTANCE}}})", "held")], stack=True),
    graph("Age of the oldest", "Of the messages that wait.",
          [(f"max by (instance) ((time() - portcullis_spool_oldest_message_timestamp_seconds{{{INSTANCE}}}) * (portcullis_spool_oldest_message_timestamp_seconds{{{INSTANCE}}} > bool 0))",
            "{{instance}}")], "s", steps(900, 3600)),
    graph("Recipients", "What became of them by attempts of the queue.",
          [(rate("portcullis_queue_recipients_total", UPSTREAM, "upstream, result"), "{{upstream}} {{result}}")], "ops"),
    graph("Disk", "What waits, and what is free.",
          [(f"sum by (instance) (portcullis_spool_bytes{{{INSTANCE}}})", "{{instance}} waits"),
           (f"min by (instance) (portcullis_spool_free_bytes{{{INSTANCE}}})", "{{instance}} free")], "bytes"),
    graph("Duration of fsync, p99", "Each message that is accepted waits for it.",
          [(quantile(0.99, "portcullis_spool_fsync_duration_seconds", INSTANCE, "instance"), "{{instance}}")], "s",
          steps(0.05, 0.25)),
    graph("Errors", "Of the disk, messages without room, reports that nobody gets.",
          [(rate("portcullis_spool_errors_total", INSTANCE, "op"), "{{op}}"),
           (rate("portcullis_spool_refused_total", INSTANCE, "limit"), "no room: {{limit}}"),
           (rate("portcullis_queue_unreported_total", INSTANCE, "instance"), "{{instance}} unreported")], "ops",
          steps(0.001)),
]


def used(title, about, expr):
    return graph(title, about, [(expr, "{{instance}}")], "percentunit", steps(0.7, 0.9), defaults={"max": 1}, width=6)


def part(metric, limit):
    return f"sum by (instance) ({metric}{{{INSTANCE}}}) / sum by (instance) ({limit}{{{INSTANCE}}})"


SATURATION = [
    used("Workers", "Busy time of the threads that serve connections.",
         f"sum by (instance) (rate(portcullis_worker_busy_seconds_total{{{INSTANCE}}}[$__rate_interval])) / sum by (instance) (portcullis_workers{{{INSTANCE}}})"),
    used("Connections", "Of limits.connections.", part("portcullis_connections_open", "portcullis_connections_limit")),
    used("Content in memory", "Of limits.content_memory.",
         part("portcullis_content_memory_bytes", "portcullis_content_memory_limit_bytes")),
    used("Content on disk", "Of limits.content_disk; from 0.9 on mail is deferred.",
         part("portcullis_content_disk_bytes", "portcullis_content_disk_limit_bytes")),
    used("Copies of plugins", "Of limits.plugin_copies.", part("portcullis_plugin_copies", "portcullis_plugin_copies_limit")),
    used("File descriptors", "Of LimitNOFILE.", part("process_open_fds", "process_max_fds")),
    graph("Worker lag, p99", "How late a task wakes: what every connection waits beside its own work.",
          [(quantile(0.99, "portcullis_worker_lag_seconds", INSTANCE, "instance"), "{{instance}}")], "s",
          steps(0.01, 0.1), width=6),
    graph("Memory", "In RAM.", [(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}")], "bytes", width=6),
    graph("Processor", "Processors that are in use.",
          [(rate("process_cpu_seconds_total", INSTANCE, "instance"), "{{instance}}")], width=6),
    graph("Questions to name servers", "By what came of them.",
          [(rate("portcullis_dns_queries_total", INSTANCE, "result"), "{{result}}")], "ops", width=6),
    graph("Duration of questions, p99", "Answers of the cache included.",
          [(quantile(0.99, "portcullis_dns_query_duration_seconds", INSTANCE, "instance"), "{{instance}}")], "s", width=6),
    graph("Panics", "Defects that ended a task.", [(rate("portcullis_panics_total", INSTANCE, "instance"), "{{instance}}")],
          thresholds=steps(0.0001), width=6),
]

CONFIGURATION = [
    stat("Last reload", "1: what stands in the file is what runs.",
         f"min(portcullis_configuration_last_reload_successful{{{INSTANCE}}})", thresholds=DOWN_IS_BAD),
    stat("Loaded", "When the configuration was loaded that is served.",
         f"max(portcullis_configuration_loaded_timestamp_seconds{{{INSTANCE}}}) * 1000", "dateTimeFromNow"),
    stat("Configurations in use", "More than 1: transactions still end under an older one.",
         f"max(portcullis_configurations_in_use{{{INSTANCE}}})", thresholds=steps(2, 5)),
    stat("Certificates", "Until the first one ends.",
         f"min(portcullis_tls_certificate_not_after_seconds{{{LISTENER}}} - time())", "s",
         [{"color": RED, "value": None}, {"color": YELLOW, "value": 3 * 86400}, {"color": GREEN, "value": 14 * 86400}]),
    stat("Version", "What runs.", f"count by (version, commit) (portcullis_build_info{{{INSTANCE}}})",
         legend="{{version}} {{commit}}", options={"textMode": "name"}),
    stat("Plugins", "Which files they are.", f"count by (plugin, sha256) (portcullis_plugin_info{{{PLUGIN}}})",
         legend="{{plugin}} {{sha256}}", options={"textMode": "name"}),
]

ROWS = [
    ("Overview", OVERVIEW, False),
    ("Mail, by listener", MAIL, False),
    ("Sessions", SESSIONS, True),
    ("Plugins and stores", PLUGINS, False),
    ("Upstreams", UPSTREAMS, False),
    ("Spool and queue", SPOOL, True),
    ("Saturation", SATURATION, False),
    ("Configuration", CONFIGURATION, False),
]


def placed(panels, y):
    """Puts panels beside each other, and under each other where there is no room."""
    x, lowest = 0, y
    for one in panels:
        place = one["gridPos"]
        if x + place["w"] > WIDTH:
            x, y = 0, lowest
        place.update({"x": x, "y": y})
        x, lowest = x + place["w"], max(lowest, y + place["h"])
    return lowest


def panels():
    everything, y = [], 0
    for title, row, collapsed in ROWS:
        head = {"type": "row", "title": title, "collapsed": collapsed, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
        end = placed(row, y + 1)
        everything.append(head)
        if collapsed:
            head["panels"] = row
            y += 1
        else:
            everything.extend(row)
            y = end
    number = 0
    for one in everything:
        for each in [one, *one.get("panels", [])]:
            number += 1
            each["id"] = number
    return everything


def variable(name, query):
    return {"type": "query", "name": name, "label": name.capitalize(), "datasource": SOURCE,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"}}


DASHBOARD = {
    "uid": "portcullis",
    "title": "Portcullis",
    "description": "What the gateway does with mail. Made by config/grafana/make.py.",
    "tags": ["mail", "portcullis", "smtp"],
    "schemaVersion": 38,
    "editable": True,
    "graphTooltip": 1,
    "refresh": "30s",
    "time": {"from": "now-3h", "to": "now"},
    "timezone": "browser",
    "templating": {"list": [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
        variable("instance", "label_values(portcullis_build_info, instance)"),
        variable("listener", 'label_values(portcullis_connections_total{instance=~"$instance"}, listener)'),
        variable("plugin", 'label_values(portcullis_plugin_breaker_open{instance=~"$instance"}, plugin)'),
        variable("upstream", 'label_values(portcullis_upstream_up{instance=~"$instance"}, upstream)'),
    ]},
    "annotations": {"list": [
        {"name": "Configuration", "datasource": SOURCE, "enable": True, "iconColor": "blue",
         "expr": 'changes(portcullis_configuration_loaded_timestamp_seconds{instance=~"$instance"}[$__rate_interval]) > 0',
         "titleFormat": "{{instance}} serves another configuration"},
    ]},
    "panels": panels(),
}


def main():
    text = json.dumps(DASHBOARD, indent=1) + "\n"
    if "--check" in sys.argv[1:]:
        if FILE.read_text() != text:
            sys.exit(f"{FILE} is out of date: run {sys.argv[0]}")
    else:
        FILE.write_text(text)


if __name__ == "__main__":
    main()
