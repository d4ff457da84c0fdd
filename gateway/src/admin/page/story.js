// One transaction, whole: what came, who was asked when and what they said, where it went.

import { at, make } from "./dom.js";
import { colour, decider, instant, place } from "./record.js";
import { address, plain, said } from "./said.js";
import { bytes, moment, plural, took, whole } from "./words.js";

export function openStory(record) {
  const dialog = at("story");
  dialog.replaceChildren(head(record), make("div", { class: "body" },
    summary(record), facts(record), recipients(record), timeline(record), edits(record), scores(record), raw(record)));
  history.replaceState(null, "", `#transaction=${encodeURIComponent(record.id)}`);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  dialog.querySelector("h2").focus();
}

export function prepareStory() {
  const dialog = at("story");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
}

/** The id in the address, if somebody was sent here to see one transaction. */
export const wanted = () => {
  const [, id] = /^#transaction=(.+)$/.exec(location.hash) ?? [];
  try {
    return id && decodeURIComponent(id);
  } catch {
    return null;
  }
};

function head(record) {
  const close = make("button", { type: "button", on: { click: () => at("story").close() } }, "Close");
  return make("header", null,
    make("span", { class: `outcome ${colour(record.outcome)}` }, record.outcome),
    make("h2", { id: "story-title", tabindex: "-1" }, "Transaction ", make("code", null, plain(record.id, 60))), close);
}

function summary(record) {
  const by = decider(record);
  const verb = VERBS[record.outcome] ?? record.outcome;
  const who = record.decided_by ? [" by ", make("b", null, said(by)), " at ", make("b", null, record.decided_by.hook)] : [" by the ", by];
  return make("p", { class: "summary" }, verb, ["aborted", "lost"].includes(record.outcome) ? "" : who,
    record.reply ? [": ", make("q", null, said(record.reply))] : ". The client was told nothing.");
}

const VERBS = {
  accepted: "Accepted", spooled: "Taken into the spool", deferred: "Put off", rejected: "Refused", mixed: "Answered one by one",
  discarded: "Discarded", quarantined: "Put into quarantine", aborted: "The client took it back", lost: "The connection broke",
};

function facts(record) {
  const { client, tls } = record;
  const told = [client.name && ["Name", said(client.name)], client.via && ["Through", said(place(client.via))]];
  const secure = tls && [tls.version, tls.cipher, tls.at_proxy ? "(ended at the proxy)" : null].filter(Boolean).join(" ");
  const pairs = [
    ["From", address(record.sender)], ["Client", said(place(client))], ...told, record.helo !== undefined && ["HELO", said(record.helo)],
    record.forwarded && ["Forwarded", said(Object.entries(record.forwarded).map(([name, value]) => `${name}=${value}`).join(" "))],
    ["TLS", secure ? said(secure) : "none"], tls?.certificate?.subject && ["Certificate", said(tls.certificate.subject)],
    record.user && ["Logged in", said([record.user, record.mechanism && `by ${record.mechanism}`].filter(Boolean).join(" "))],
    ["Listener", [said(record.listener), ` (${record.protocol})`]], ["Session", make("code", null, plain(record.session, 60))],
    ["Ended", moment(instant(record))], ["Size", record.octets ? bytes(record.octets) : "no message came"],
    record.parameters?.length > 0 && ["Parameters", said(record.parameters.join(" "))], ["Configuration", `generation ${whole(record.generation)}`],
  ];
  return make("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => make("div", null, make("dt", null, name), make("dd", null, value))));
}

function recipients(record) {
  if (!record.recipients.length) return null;
  const rows = record.recipients.map((one) => make("tr", null,
    make("th", { scope: "row" }, address(one.address), one.changed_to !== undefined ? make("small", null, " became ", address(one.changed_to)) : null),
    make("td", null, one.upstream ? [said(one.upstream), " ", make("small", null, routed(one.route))] : make("span", { class: "quiet" }, "nowhere")),
    make("td", null, one.refused_by ? ["refused by ", said(one.refused_by), ": "] : null, one.reply ? said(one.reply) : make("span", { class: "quiet" }, "no reply of its own"))));
  const left = record.recipients_left_out ? make("p", { class: "quiet" }, `and ${whole(record.recipients_left_out)} more`) : null;
  return part("Recipients", make("div", { class: "scroll", role: "group", "aria-label": "Recipients", tabindex: "0" }, make("table", null,
    make("thead", null, make("tr", null, ["Recipient", "Upstream", "Reply"].map((title) => make("th", { scope: "col" }, title)))), make("tbody", null, rows))), left);
}

function routed(route) {
  if (!route) return "";
  if (route.by !== "route") return { default: "the default", listener: "the listener's", plugin: "a plugin's wish", quarantine: "quarantine" }[route.by] ?? route.by;
  return `route ${whole(route.number)}${route.map_line ? `, line ${whole(route.map_line)} of its map` : ""}`;
}

/** Calls and deliveries by when they began; bars show which part of the whole they were. */
function timeline(record) {
  const steps = [
    ...record.calls.map((call) => ({ ...call, kind: "call" })),
    ...record.deliveries.map((delivery) => ({ ...delivery, kind: "delivery" })),
  ].sort((one, other) => (one.at_seconds ?? -1) - (other.at_seconds ?? -1));
  const total = record.duration_seconds;
  const items = steps.map((step) => make("li", { class: step.kind === "call" ? `call ${HUES[step.verdict] ?? ""}` : "delivery" },
    make("span", { class: "offset number" }, step.at_seconds === undefined ? "session" : `+${took(step.at_seconds)}`),
    make("div", { class: "what" }, step.kind === "call" ? called(step) : handed(step)),
    make("span", { class: "number" }, took(step.duration_seconds)), track(step, total)));
  const left = record.calls_left_out ? make("p", { class: "quiet" }, `and ${plural(record.calls_left_out, "more call")}`) : null;
  return part("Timeline", stages(record), items.length ? make("ol", { class: "timeline" }, items) : make("p", { class: "quiet" }, "No plugin and no upstream was asked."), left);
}

const HUES = { reject: "rejected", disconnect: "rejected", defer: "deferred", failure: "failure", discard: "discarded", quarantine: "quarantined", accept: "accepted" };

function called({ hook, plugin, recipient, verdict, text, failure }) {
  return [make("span", { class: "hook" }, hook), " ", make("b", null, said(plugin)), recipient !== undefined ? [" about ", address(recipient)] : null, " ",
    make("span", { class: `verdict ${HUES[verdict] ?? "next"}` }, failure ? `${verdict}: ${failure}` : verdict), text ? make("div", null, make("q", null, said(text))) : null];
}

function handed({ upstream, what, address: place_, recipients: count, connect_seconds: connecting }) {
  const errand = what === "message" ? "given the message for " : "asked about ";
  return [make("span", { class: "hook" }, "upstream"), " ", make("b", null, said(upstream)), place_ ? [" at ", said(place_)] : null, ` ${errand}${plural(count, "recipient")}`,
    connecting > 0.0005 ? make("small", null, ` · ${took(connecting)} of it for the connection`) : null];
}

function track({ at_seconds: begin, duration_seconds: duration }, total) {
  const box = make("span", { class: "track", "aria-hidden": "true" });
  if (begin !== undefined && total > 0) {
    box.append(make("i"));
    const start = Math.min(1, begin / total);
    box.firstChild.style.marginInlineStart = `${start * 100}%`;
    box.firstChild.style.width = `${Math.max(0.4, Math.min(1 - start, duration / total) * 100)}%`;
  }
  return box;
}

const STAGES = { mail: "sender", rcpt: "recipients", data: "DATA", content: "content came", message: "message judged", delivery: "delivery", client: "waiting for the client" };

function stages(record) {
  const parts = Object.entries(STAGES).map(([stage, label]) => [stage, label, record.stage_seconds?.[stage] ?? 0]).filter(([, , seconds]) => seconds > 0);
  const pieces = parts.map(([stage, , seconds]) => {
    const piece = make("i", { class: `stage-${stage}` });
    piece.style.flexGrow = seconds / (record.duration_seconds || 1);
    return piece;
  });
  const legend = parts.map(([stage, label, seconds]) => make("li", null, make("span", { class: `swatch stage-${stage}` }), `${label} `, make("span", { class: "number" }, took(seconds))));
  return [make("p", { class: "times" }, make("b", null, took(record.duration_seconds)), " in all, ", took(record.plugins_seconds), " in plugins", record.upstream_seconds ? `, ${took(record.upstream_seconds)} waiting for upstreams` : ""),
    parts.length ? [make("div", { class: "pieces tall", "aria-hidden": "true" }, pieces), make("ul", { class: "legend" }, legend)] : null];
}

/** What stood there and what stands there, as in a diff. */
function edited(list) {
  return make("ul", { class: "edits" }, list.map(({ plugin, hook, what, old, new: fresh }) => make("li", null,
    make("p", null, make("b", null, said(what)), make("small", null, " by ", said(plugin), hook ? ` at ${hook}` : "")),
    old === undefined ? null : make("del", null, said(old)), fresh === undefined ? null : make("ins", null, said(fresh)))));
}

const edits = (record) => (record.edits.length ? part("Edits", edited(record.edits)) : null);

function scores(record) {
  if (!record.scores.length) return null;
  const thresholds = Object.entries(record.thresholds ?? {}).map(([action, points]) => `${action.replace("_", "-")} from ${points}`).join(", ");
  return part("Scores", scored(record.scores, record.score ?? 0), thresholds ? make("p", { class: "quiet" }, thresholds) : null);
}

/** Symbols and their sum. */
export function scored(symbols, sum) {
  const head = [["Symbol"], ["Plugin"], ["Points", "number"]].map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
  const rows = symbols.map(({ plugin, symbol, points }) => make("tr", null,
    make("th", { scope: "row" }, said(symbol)), make("td", null, said(plugin)), make("td", { class: "number" }, signed(points))));
  return make("table", { class: "scores" }, make("thead", null, make("tr", null, head)), make("tbody", null, rows),
    make("tfoot", null, make("tr", null, make("th", { scope: "row", colspan: 2 }, "Sum"), make("td", { class: "number" }, signed(sum)))));
}

const signed = (points) => (points > 0 ? `+${points}` : String(points).replace("-", "−"));

function raw(record) {
  const text = make("pre", { tabindex: "0", "aria-label": "The record as JSON" });
  const details = make("details", { class: "raw" }, make("summary", null, "The record as JSON"), text);
  details.addEventListener("toggle", () => {
    // Escaped, so that what is copied is what is seen.
    text.textContent = JSON.stringify(record, null, 2).replace(/[^\n\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
  });
  return details;
}

const part = (title, ...children) => make("section", { class: "part" }, make("h3", null, title), ...children);
