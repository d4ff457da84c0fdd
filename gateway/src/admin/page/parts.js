// Panels of what the configuration names: plugins and upstreams.

import { at, empty, list, make, table } from "./dom.js";
import { growth, quantiles, rate } from "./metrics.js";
import { said } from "./said.js";
import { brief, bytes, took, whole } from "./words.js";

const MINUTE = 60_000;
const CALLS = "portcullis_plugin_calls_total";
const FAILURES = "portcullis_plugin_failures_total";
const TIMES = "portcullis_plugin_call_duration_seconds";
const REPLIES = "portcullis_upstream_replies_total";

/** The order of verdicts in a bar, and which is which colour. */
const VERDICTS = { next: "next", accept: "accepted", quarantine: "quarantined", discard: "discarded", defer: "deferred", abandoned: "aborted", reject: "rejected", disconnect: "lost", failure: "failure" };

export function plugins(history) {
  const [now, then] = [history.last, history.earlier(MINUTE)];
  const names = now.values("portcullis_plugin_breaker_open", "plugin");
  const parent = at("plugins-panel");
  if (!names.length) return parent.replaceChildren(empty("No plugins. ", make("code", null, "portcullis plugin new"), " makes one, and ", make("code", null, "plugins"), " in the configuration names it."));
  if (!parent.table) {
    parent.table = table("Plugins", [["Plugin"], ["Breaker"], ["Calls /s", "number"], ["Calls", "number"], ["Verdicts"], ["p50", "number"], ["p99", "number"], ["Memory", "number"], ["Failures"]]);
    parent.replaceChildren(parent.table.element);
  }
  list(parent.table.body, names.map((name) => plugin(now, then, name)), ({ name }) => name, pluginRow);
}

function plugin(now, then, name) {
  const where = { plugin: name };
  const times = quantiles(then, now, TIMES, where, [0.5, 0.99]);
  const verdicts = [...now.by(CALLS, "result", where)].filter(([, count]) => count);
  const hooks = now.values(CALLS, "hook").map((hook) => {
    const calls = now.sum(CALLS, { plugin: name, hook });
    const found = quantiles(then, now, TIMES, { plugin: name, hook }, [0.5, 0.99]);
    return calls ? { hook, calls, times: found?.values.map(took) ?? ["–", "–"], verdicts: [...now.by(CALLS, "result", { plugin: name, hook })].filter(([, count]) => count) } : null;
  }).filter(Boolean);
  return {
    name, open: now.sum("portcullis_plugin_breaker_open", where), calls: verdicts.reduce((sum, [, count]) => sum + count, 0),
    pace: brief(rate(then, now, CALLS, where)), verdicts, times: times?.values.map(took) ?? ["–", "–"], hooks,
    failures: [...now.by(FAILURES, "reason", where)].filter(([, count]) => count),
    memory: now.sum("portcullis_plugin_memory_peak_bytes", where), digest: now.values("portcullis_plugin_info", "sha256").find((sha256) => now.sum("portcullis_plugin_info", { plugin: name, sha256 })),
    fresh: growth(now.sum(FAILURES, where), then.sum(FAILURES, where)),
  };
}

function pluginRow({ name, memory, digest, open, pace, calls, verdicts, times, failures, fresh, hooks }) {
  const inner = hooks.map(({ hook, calls: count, times: own, verdicts: answers }) => make("li", null,
    make("b", null, hook), ` ${whole(count)} calls, p50 ${own[0]}, p99 ${own[1]}: `, answers.map(([result, number]) => `${result} ${whole(number)}`).join(", ")));
  return make("tr", null,
    make("th", { scope: "row", title: digest ? `sha256 ${digest}` : null }, said(name), hooks.length ? make("details", null, make("summary", null, "by hook"), make("ul", { class: "hooks" }, inner)) : null),
    make("td", null, open ? make("span", { class: "chip bad" }, "open: not called") : make("span", { class: "chip good" }, "closed")),
    make("td", { class: "number" }, pace), make("td", { class: "number" }, whole(calls)),
    make("td", { class: "split" }, split(verdicts), make("small", null, verdicts.map(([result, count]) => `${result} ${whole(count)}`).join(" · ") || "not called yet")),
    times.map((time) => make("td", { class: "number" }, time)),
    make("td", { class: "number" }, memory ? bytes(memory) : "–"),
    make("td", null, failures.length ? failures.map(([reason, count]) => make("span", { class: fresh ? "chip bad" : "chip warn" }, `${reason} ${whole(count)}`)) : make("span", { class: "quiet" }, "none")));
}

/** Shares side by side, in the colours of the outcomes. */
function split(verdicts) {
  const total = verdicts.reduce((sum, [, count]) => sum + count, 0);
  const pieces = Object.entries(VERDICTS).map(([verdict, colour]) => {
    const count = verdicts.find(([result]) => result === verdict)?.[1];
    if (!count) return null;
    const piece = make("i", { class: `back-${colour}` });
    piece.style.flexGrow = count / total;
    return piece;
  });
  return make("div", { class: "pieces", "aria-hidden": "true" }, pieces);
}

export function upstreams(history, status) {
  const [now, then] = [history.last, history.earlier(MINUTE)];
  const parent = at("upstreams-panel");
  if (!status.upstreams.length) return parent.replaceChildren(empty("No upstreams: nothing that comes can go anywhere. ", make("code", null, "upstreams"), " in the configuration names them."));
  if (!parent.table) {
    parent.table = table("Upstreams", [["Upstream"], ["Health"], ["Addresses"], ["In use", "number"], ["Replies"], ["p50", "number"], ["p99", "number"], ["Trouble"]]);
    parent.replaceChildren(parent.table.element);
  }
  list(parent.table.body, status.upstreams.map((facts) => upstream(now, then, facts)), ({ name }) => name, upstreamRow);
}

function upstream(now, then, { name, protocol, up, addresses, connections_in_use: busy, connections_idle: idle, connections_limit: limit }) {
  const where = { upstream: name };
  const times = quantiles(then, now, "portcullis_upstream_reply_duration_seconds", { upstream: name, stage: "content" }, [0.5, 0.99]);
  const classes = new Map();
  for (const [code, count] of now.by(REPLIES, "code", where)) {
    const kind = /^[2-5]/.test(code) ? `${code[0]}xx` : "other";
    if (count) classes.set(kind, (classes.get(kind) ?? 0) + count);
  }
  const trouble = [
    ...[...now.by("portcullis_upstream_connects_total", "result", where)].filter(([result, count]) => count && result !== "ok").map(([result, count]) => [`connect: ${result}`, count]),
    ...[...now.by("portcullis_upstream_turned_away_total", "reason", where)].filter(([, count]) => count).map(([reason, count]) => [`turned away: ${reason}`, count]),
    ...[...now.by("portcullis_upstream_retries_total", "reason", where)].filter(([, count]) => count).map(([reason, count]) => [`retried: ${reason}`, count]),
    ["no answer to the final dot", now.sum("portcullis_upstream_ambiguous_total", where)],
  ].filter(([, count]) => count);
  return {
    name, up, protocol, addresses: addresses.map(({ address, host, up: well }) => ({ address, host, well })), busy, idle, limit, classes: [...classes], times: times?.values.map(took) ?? ["–", "–"], trouble,
  };
}

const CLASSES = { "2xx": "accepted", "3xx": "next", "4xx": "deferred", "5xx": "rejected", other: "lost" };

function upstreamRow({ name, up, protocol, addresses, busy, idle, limit, classes, times, trouble }) {
  const total = classes.reduce((sum, [, count]) => sum + count, 0);
  const pieces = classes.map(([kind, count]) => {
    const piece = make("i", { class: `back-${CLASSES[kind]}` });
    piece.style.flexGrow = count / total;
    return piece;
  });
  return make("tr", null,
    make("th", { scope: "row" }, said(name), make("small", null, protocol)),
    make("td", null, make("span", { class: up ? "chip good" : "chip bad" }, up ? "up" : "down")),
    make("td", null, addresses.length ? make("ul", { class: "addresses" }, addresses.map(({ address, host, well }) => make("li", null,
      make("span", { class: well ? "dot good" : "dot bad", role: "img", "aria-label": well ? "up:" : "down:" }), said(address), host && !address.startsWith(host) ? make("small", null, said(host)) : null))) : make("span", { class: "quiet" }, "–")),
    make("td", { class: "number" }, limit === null ? "–" : [`${whole(busy)} of ${whole(limit)}`, make("small", null, `${whole(idle)} idle`)]),
    make("td", { class: "split" }, make("div", { class: "pieces", "aria-hidden": "true" }, pieces), make("small", null, classes.map(([kind, count]) => `${kind} ${whole(count)}`).join(" · ") || "none yet")),
    times.map((time) => make("td", { class: "number" }, time)),
    make("td", null, trouble.length ? trouble.map(([what, count]) => make("span", { class: "chip warn" }, `${what} ${whole(count)}`)) : make("span", { class: "quiet" }, "none")));
}
