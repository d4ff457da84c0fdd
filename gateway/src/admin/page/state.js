// The header: how the gateway is, since when, and under which configuration.

import { at, list, make, write } from "./dom.js";
import { plain, said } from "./said.js";
import { ago, clock, moment } from "./words.js";

const WORDS = { ready: "ready", degraded: "degraded", draining: "draining", starting: "starting", "not-ready": "not ready" };

let gone = false;

/** Ready with warnings is degraded; a gateway that drains says so among its reasons. */
function stateOf({ reasons, warnings }) {
  const told = (word) => reasons.some(({ text }) => text === word);
  if (told("draining")) return "draining";
  if (told("starting")) return "starting";
  if (reasons.length) return "not-ready";
  return warnings.length ? "degraded" : "ready";
}

export function show(status) {
  const state = stateOf(status);
  const pill = at("state");
  pill.dataset.state = state;
  write(pill, WORDS[state]);
  write(at("hostname"), plain(status.hostname, 60));
  document.title = `${state === "ready" ? "" : `${WORDS[state]} · `}${plain(status.hostname, 60)} · Portcullis`;
  const why = [...status.reasons.map((one) => ({ ...one, level: "bad" })), ...status.warnings.map((one) => ({ ...one, level: "warn" }))];
  list(at("reasons"), why, ({ text }) => text, ({ text, level }) => make("li", { class: level }, said(text)));
  at("reasons").hidden = !why.length;
  facts(status);
}

function facts({ version, started, uptime_seconds: up, configuration }) {
  const { generation, loaded, last_reload: last } = configuration;
  const age = (Date.now() - Date.parse(loaded)) / 1000;
  const pairs = [
    { name: "Version", value: version },
    { name: "Up", value: ago(up), title: `since ${moment(Date.parse(started))}` },
    { name: "Configuration", value: `#${generation}, ${ago(age)} old`, title: `loaded ${moment(Date.parse(loaded))}` },
    { name: "Last reload", value: last ? `${last.result}, ${clock(Date.parse(last.time))}` : "none", level: last?.result === "failed" ? "bad" : null, title: last && plain(last.text, 2000) },
  ];
  list(at("facts"), pairs, ({ name }) => name, ({ name, value, title, level }) => make("div", { title }, make("dt", null, name), make("dd", { class: level }, value)));
}

/** Whether news come by themselves. */
export function link(live) {
  write(at("link"), live ? "live" : "polling");
  at("link").dataset.live = live;
}

/** The gateway does not answer: what is shown is old. */
export function silence(error, since) {
  const alarm = at("alarm");
  gone = true;
  document.body.classList.add("gone");
  at("state").dataset.state = "gone";
  write(at("state"), "no answer");
  document.title = "no answer · Portcullis";
  const what = error.status ? `The gateway refuses to tell: ${plain(error.message, 500)}.` : `The gateway does not answer (${plain(error.message, 500)}).`;
  write(alarm, `${what} ${since ? `What you see is from ${clock(since)}.` : "There is nothing to show yet."} It is asked again every few seconds.`);
  alarm.hidden = false;
}

export function answered() {
  if (!gone) return;
  gone = false;
  document.body.classList.remove("gone");
  at("alarm").hidden = true;
}
