// Panels that are numbers of /metrics: figures, connections, latency, saturation, certificates, spool.

import { at, empty, list, make, table } from "./dom.js";
import { sparkline } from "./chart.js";
import { quantiles, rate } from "./metrics.js";
import { said } from "./said.js";
import { ago, brief, bytes, moment, percent, plural, took, whole } from "./words.js";

const MINUTE = 60_000;

/** A certificate with fewer days left is red, or amber. */
const URGENT = 7;
const SOON = 21;

const CONTENT = "portcullis_upstream_reply_duration_seconds";
const COMMAND = "portcullis_command_duration_seconds";
const PLUGIN = "portcullis_plugin_call_duration_seconds";

export function figures(history, status) {
  const [now, then] = [history.last, history.earlier(MINUTE)];
  const bins = history.outcomes();
  const sums = bins.map(({ rates }) => Object.values(rates).reduce((sum, value) => sum + value, 0));
  const refused = bins.map(({ rates }) => (rates.rejected ?? 0) + (rates.deferred ?? 0));
  const total = sums.reduce((sum, value) => sum + value, 0);
  const limit = status.connections_limit;
  const open = now.sum("portcullis_connections_open");
  const latency = quantiles(then, now, COMMAND, { command: "message" }, [0.5, 0.99]);
  const up = now.series("portcullis_upstream_up");
  const waiting = now.sum("portcullis_spool_messages");
  const tiles = [
    figure("Transactions", `${brief(rate(then, now, "portcullis_transactions_total"))} /s`, `${whole(now.sum("portcullis_transactions_total"))} since the start`, sparkline(sums)),
    figure("Not taken", percent(total ? refused.reduce((sum, value) => sum + value, 0) / total : NaN), "refused or put off, 15 min", sparkline(refused)),
    figure("Latency p99", latency ? took(latency.values[1]) : "–", latency ? `answer to a message; p50 ${took(latency.values[0])}` : "no message in the last minute"),
    figure("In flight", whole(now.sum("portcullis_transactions_in_flight")), "begun, not ended"),
    figure("Connections", whole(open), `of ${whole(limit)}`, bar(open, limit, "connections")),
    figure("Upstreams up", up.length ? `${up.filter(({ value }) => value).length} of ${up.length}` : "–", up.length ? "by their health" : "none configured", null, up.some(({ value }) => !value)),
  ];
  if (now.has("portcullis_spool_messages")) tiles.push(figure("In the spool", whole(waiting), oldest(now)));
  at("overview").replaceChildren(...tiles);
}

function figure(label, number, note, extra = null, bad = false) {
  return make("div", { class: bad ? "figure bad" : "figure" },
    make("p", { class: "label" }, label), make("p", { class: "number" }, number, extra), make("p", { class: "note" }, note));
}

/** A bar and its share, which is also said. */
export function bar(value, limit, label) {
  const share = limit ? Math.min(1, value / limit) : 0;
  const level = share >= 0.9 ? "high" : share >= 0.75 ? "raised" : "calm";
  const element = make("div", { class: `bar ${level}`, role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100), "aria-valuetext": percent(share) }, make("div"));
  element.firstChild.style.width = `${share * 100}%`;
  return element;
}


export function connections(history, status) {
  const [now, then] = [history.last, history.earlier(MINUTE)];
  const parent = at("connections");
  if (!parent.tables) {
    parent.tables = [
      table("Connections by listener", [["Listener"], ["Open", "number"], ["New /s", "number"], ["Refused", "number"]]),
      make("p", { class: "limits" }),
      table("Refused connections by reason", [["Turned away because"], ["Last minute", "number"], ["Since start", "number"]]),
    ];
    const [listeners, ended, refused] = parent.tables;
    parent.append(listeners.element, refused.element, ended);
  }
  const [listeners, ended, refused] = parent.tables;
  const known = now.values("portcullis_connections_open", "listener").map((name) => {
    const where = { listener: name };
    const told = status.listeners.find((one) => one.name === name);
    return {
      name, place: told ? `${told.protocol}${told.tls ? ` ${told.tls}` : ""} ${told.addresses.join(", ")}` : null, open: now.sum("portcullis_connections_open", where),
      fresh: brief(rate(then, now, "portcullis_connections_total", where)), refused: whole(now.sum("portcullis_connections_refused_total", where)),
    };
  });
  list(listeners.body, known, ({ name }) => name, ({ name, place, open, fresh, refused: away }) => make("tr", null,
    make("th", { scope: "row" }, said(name), place ? make("small", null, place) : null),
    make("td", { class: "number" }, whole(open)), make("td", { class: "number" }, fresh), make("td", { class: "number" }, away)));
  const reasons = [...now.by("portcullis_connections_refused_total", "reason")].map(([reason, count]) => ({
    reason, count: whole(count), fresh: brief(rate(then, now, "portcullis_connections_refused_total", { reason }) * 60),
  })).filter(({ count }) => count !== "0");
  list(refused.body, reasons.length ? reasons : [{ reason: null }], ({ reason }) => reason, ({ reason, count, fresh }) => (reason === null
    ? make("tr", null, make("td", { colspan: 3, class: "quiet" }, "none since the start"))
    : make("tr", null, make("th", { scope: "row" }, REASONS[reason] ?? reason), make("td", { class: "number" }, fresh), make("td", { class: "number" }, count))));
  const causes = [...now.by("portcullis_sessions_closed_total", "cause")].filter(([, count]) => count);
  const stages = [...now.by("portcullis_sessions_lost_total", "stage")].filter(([, count]) => count);
  ended.replaceChildren(...chips("Sessions ended: ", causes), ...chips(" Gone without QUIT at: ", stages));
}

const chips = (label, counts) => (counts.length ? [label, ...counts.map(([name, count]) => make("span", { class: "chip" }, `${name} ${whole(count)}`))] : []);

const REASONS = {
  draining: "draining", global: "all slots taken", "per-address": "too many of one address", "per-network": "too many of one network",
  rate: "they come too fast", "rate-per-address": "one address comes too fast",
};

export function latency(history) {
  const [now, then] = [history.last, history.earlier(MINUTE)];
  const parent = at("latency");
  parent.table ??= table("Latency percentiles", [["Of"], ["Times", "number"], ["p50", "number"], ["p90", "number"], ["p99", "number"]]);
  if (!parent.hasChildNodes()) parent.append(parent.table.element);
  const kinds = [
    ["Clients wait for the answer to a message", COMMAND, { command: "message" }], ["Clients wait for the answer to RCPT", COMMAND, { command: "rcpt" }],
    ["Transactions, with the client's time", "portcullis_transaction_duration_seconds", {}], ["Plugins, each call", PLUGIN, {}],
    ["Upstreams, to connect", "portcullis_upstream_connect_duration_seconds", {}], ["Upstreams, to wait for a connection", "portcullis_upstream_wait_seconds", {}],
    ...Object.entries(STAGES).map(([stage, label]) => [`Upstreams, ${label}`, CONTENT, { stage }]),
    ["DNS", "portcullis_dns_query_duration_seconds", {}], ["Stores of plugins", "portcullis_store_operation_duration_seconds", {}],
    ["Spool, on the disk", "portcullis_spool_fsync_duration_seconds", {}], ["Threads, late to wake", "portcullis_worker_lag_seconds", {}],
  ];
  const seen = kinds.map(([label, name, where]) => [label, quantiles(then, now, name, where, [0.5, 0.9, 0.99])]).filter(([, found]) => found)
    .map(([label, { count, values }]) => ({ label, count: whole(count), values: values.map(took) }));
  const rows = seen.length ? seen : [{ label: null }];
  list(parent.table.body, rows, ({ label }) => label, ({ label, count, values }) => (label === null
    ? make("tr", null, make("td", { colspan: 5, class: "quiet" }, "nothing happened in the last minute"))
    : make("tr", null, make("th", { scope: "row" }, label), [count, ...values].map((value) => make("td", { class: "number" }, value)))));
}

const STAGES = { rcpt: "RCPT", content: "the message" };

export function saturation(history, status) {
  const now = history.last;
  const { memory, connections_limit: limit } = status;
  const [workers, busy] = [now.sum("portcullis_workers"), rate(history.earlier(MINUTE), now, "portcullis_worker_busy_seconds_total")];
  const [copies, most] = [now.sum("portcullis_plugin_copies"), now.sum("portcullis_plugin_copies_limit")];
  const room = now.sum("portcullis_spool_bytes") + now.sum("portcullis_spool_free_bytes");
  const rows = [
    { label: "Content in memory", value: memory.used, limit: memory.limit, text: `${bytes(memory.used)} of ${bytes(memory.limit)}` },
    { label: "Content in files", value: memory.disk_used, limit: memory.disk_limit, text: `${bytes(memory.disk_used)} of ${bytes(memory.disk_limit)}` },
    { label: "Connection slots", value: now.sum("portcullis_connections_open"), limit, text: `${whole(now.sum("portcullis_connections_open"))} of ${whole(limit)}` },
    { label: "Threads, busy", value: busy, limit: workers, text: `${percent(busy / workers)} of ${whole(workers)}` },
    { label: "Copies of plugins", value: copies, limit: most, text: `${whole(copies)} of ${whole(most)}` },
    now.has("process_max_fds") && { label: "File descriptors", value: now.sum("process_open_fds"), limit: now.sum("process_max_fds"), text: `${whole(now.sum("process_open_fds"))} of ${whole(now.sum("process_max_fds"))}` },
    now.has("portcullis_spool_free_bytes") && { label: "The spool's disk", value: now.sum("portcullis_spool_bytes"), limit: room, text: `${bytes(now.sum("portcullis_spool_bytes"))} used, ${bytes(now.sum("portcullis_spool_free_bytes"))} free` },
  ].filter(Boolean);
  const facts = [
    ["Resident memory", bytes(now.sum("process_resident_memory_bytes"))],
    ["Processor", `${percent(rate(history.earlier(MINUTE), now, "process_cpu_seconds_total"))} of one core`],
  ];
  at("saturation").replaceChildren(
    ...rows.map(({ label, value, limit: most, text }) => make("div", { class: "gauge" }, make("span", null, label), make("span", { class: "number" }, text), bar(value, most, label))),
    make("dl", { class: "pairs" }, facts.map(([name, value]) => [make("dt", null, name), make("dd", { class: "number" }, value)])));
}

export function certificates({ certificates: all }) {
  const parent = at("certificates");
  if (!all.length) return parent.replaceChildren(empty("No listener has a certificate: mail comes in the clear. ", make("code", null, "tls"), " of a listener changes that."));
  const soonest = [...all].sort((one, other) => one.days_left - other.days_left);
  const rows = soonest.map(({ listener, file, names, not_after: until, days_left: days }) => {
    const level = days < URGENT ? "bad" : days < SOON ? "warn" : "good";
    return make("li", null, make("span", { class: `chip ${level}` }, days < 0 ? "expired" : plural(days, "day")),
      make("span", null, said(names.join(", ") || file), make("small", null, said(listener), ` · until ${moment(Date.parse(until))} · `, said(file))));
  });
  parent.replaceChildren(make("ul", { class: "marked" }, rows));
}

export function spool(history, { spool: summary }) {
  const now = history.last;
  const parent = at("spool");
  if (!now.has("portcullis_spool_messages")) return parent.replaceChildren(empty("No spool: a client hears 250 only when the upstream has said so."));
  const pairs = [["Messages", whole(now.sum("portcullis_spool_messages"))], ["Size", bytes(now.sum("portcullis_spool_bytes"))], ["Oldest", oldest(now)], ["Held back", whole(summary?.held ?? now.sum("portcullis_queue_held"))]];
  const lanes = (summary?.upstreams ?? []).map(({ upstream, waiting, in_flight: tried, reachable }) => make("li", null,
    make("span", { class: `chip ${reachable ? "good" : "bad"}` }, reachable ? "reachable" : "unreachable"),
    make("span", null, said(upstream), make("small", null, `${whole(waiting)} waiting, ${whole(tried)} being tried`))));
  parent.replaceChildren(make("dl", { class: "pairs" }, pairs.map(([name, value]) => [make("dt", null, name), make("dd", { class: "number" }, value)])), lanes.length ? make("ul", { class: "marked" }, lanes) : "");
}

function oldest(now) {
  const since = now.sum("portcullis_spool_oldest_message_timestamp_seconds");
  return since ? `${ago(now.time / 1000 - since)} old` : "nothing waits";
}
