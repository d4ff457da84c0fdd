// What would become of a message: the form, and the explanation.

import { at, make } from "./dom.js";
import { Refused, askJson } from "./gateway.js";
import { address, said } from "./said.js";
import { edited } from "./story.js";
import { tree } from "./tree.js";
import { took } from "./words.js";

/** Plugins may take their time. */
const PATIENCE = 60_000;

export function prepareTrial() {
  at("trial-form").addEventListener("submit", (event) => {
    event.preventDefault();
    explain(event.target);
  });
}

/** The listeners that there are to try. */
export function offerListeners(names) {
  const select = at("trial-form").elements.listener;
  if (select.length - 1 === names.length) return;
  select.replaceChildren(make("option", { value: "" }, "the first"), ...names.map((name) => make("option", { value: name }, name)));
}

async function explain(form) {
  const answer = at("trial-answer");
  const button = form.querySelector("button");
  button.disabled = true;
  answer.setAttribute("aria-busy", "true");
  try {
    const body = JSON.stringify(inquiry(form));
    answer.replaceChildren(...explanation(await askJson("/api/explain", { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) })));
  } catch (error) {
    answer.replaceChildren(make("p", { class: "mistake", role: "alert" }, complaint(error)));
  }
  answer.removeAttribute("aria-busy");
  button.disabled = false;
  answer.focus({ preventScroll: true });
  answer.scrollIntoView({ block: "nearest" });
}

function complaint(error) {
  if (error instanceof Refused && error.status === 404) return "This gateway explains in the terminal alone: portcullis explain";
  if (error instanceof Refused) return said(error.message);
  return `No answer: ${error.message}`;
}

function inquiry(form) {
  const said_ = Object.fromEntries(new FormData(form));
  const path = (text) => text.trim().replace(/^<(.*)>$/, "$1");
  return {
    from: path(said_.from), to: said_.to.split(/[\s,]+/).filter(Boolean).map(path),
    ...optional("client", said_.client.trim()), ...optional("helo", said_.helo.trim()), ...optional("listener", said_.listener),
    ...optional("message", said_.message.replace(/\r?\n/g, "\r\n")),
  };
}

const optional = (name, value) => (value ? { [name]: value } : {});

/** Parts that are known have a form of their own; the rest is shown as it is, so that nothing is left out. */
export function explanation({ listener, protocol, sender, client, helo, user, delivery, recipients, hooks, calls, edits, reply, outcome, together, ...rest }) {
  const steps = calls ?? hooks ?? [];
  const others = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length)));
  return [
    make("p", { class: "summary" }, outcome ? make("span", { class: `outcome ${outcome}` }, outcome) : null, " at ", said(listener), protocol ? ` (${protocol})` : "", ", from ", address(sender ?? ""), client ? [", client ", said(client)] : null, helo ? [", HELO ", said(helo)] : null, user ? [", ", said(user), " logged in"] : null, delivery ? `, delivery: ${delivery}` : null),
    reply ? make("p", null, make("b", null, "Reply "), make("q", null, said(typeof reply === "string" ? reply : JSON.stringify(reply)))) : null,
    steps.length ? section("Plugins", make("ol", { class: "timeline plain" }, steps.map(step))) : null,
    edits?.length ? section("Edits", edited(edits)) : null,
    recipients?.length ? section("Recipients", make("ul", { class: "ways" }, recipients.map(way))) : null,
    together ? section("Together", tree(together)) : null,
    Object.keys(others).length ? section("More", tree(others)) : null,
  ].filter(Boolean);
}

function step({ hook, plugin, verdict, recipient, text, duration_seconds: duration, seconds, ...rest }) {
  const spent = duration ?? seconds;
  const more = Object.keys(rest).filter((name) => name !== "at_seconds").length ? tree(rest) : null;
  return make("li", null, make("div", { class: "what" }, make("span", { class: "hook" }, hook ?? "hook"), " ", plugin ? make("b", null, said(plugin)) : null, recipient ? [" about ", said(recipient)] : null, " ",
    verdict ? make("span", { class: "verdict" }, typeof verdict === "string" ? said(verdict) : tree(verdict)) : null, text ? make("div", null, make("q", null, said(text))) : null, more), spent === undefined ? null : make("span", { class: "number" }, took(spent)));
}

function way({ recipient, decision, upstream, reply, ...rest }) {
  const goes = upstream ? ["goes to ", make("b", null, said(upstream.name ?? upstream)), upstream.address ? [" at ", said(upstream.address)] : null, upstream.protocol ? ` (${upstream.protocol})` : null] : ["goes nowhere"];
  return make("li", null, make("p", null, address(recipient ?? ""), " ", goes, reply ? [": ", make("q", null, said(reply))] : null),
    decision ? make("p", { class: "quiet" }, decided(decision)) : null, Object.keys(rest).length ? tree(rest) : null);
}

function decided({ by, number, file, line, pattern, map, map_line: mapLine }) {
  if (by === "route") return [`by route ${number} (`, said(file), `:${line})`, pattern ? [", which fits by ", said(pattern)] : null, map ? [", from ", said(map), mapLine ? `:${mapLine}` : ""] : null];
  return { default: "no route fits: the default upstream", listener: "no route fits: the listener's upstream", nobody: "no route fits, and there is no default" }[by] ?? by;
}

const section = (title, ...children) => make("section", { class: "part" }, make("h3", null, title), ...children);
