// The answer of /api/explain: the conversation, step by step, and what comes of it.

import { make } from "./dom.js";
import { colour } from "./record.js";
import { address, said } from "./said.js";
import { scored } from "./story.js";
import { bytes, plural, took } from "./words.js";

export function explanation({ ending, steps, recipients, score, delivered, together, plugins, quarantine, seconds, ...about }) {
  return [
    summary(ending, about, seconds),
    part("Recipients", make("ul", { class: "ways" }, recipients.map(way)), together ? make("p", { class: "quiet" }, said(together.text)) : null),
    part("Conversation", make("ol", { class: "steps" }, steps.map(step))),
    score?.symbols.length ? part("Scores", scored(score.symbols, score.sum), thresholds(score.thresholds)) : null,
    delivered.length ? part("What upstreams get", delivered.map(parcel)) : null,
    plugins.length ? make("p", { class: "quiet" }, "Not asked about a message, and may decide otherwise: ", plugins.map(({ name, grants }) => [said(name), ` (${grants.join(", ")}) `])) : null,
    quarantine ? make("p", { class: "quiet" }, "What a plugin wants in quarantine goes to ", said(quarantine.name), ".") : null,
  ].filter(Boolean);
}

function summary({ outcome, reply, decided_by: by, hook }, { listener, protocol, delivery, sender, client, helo, user, tls }, seconds) {
  return make("div", null,
    make("p", { class: "summary" }, make("span", { class: `outcome ${colour(outcome)}` }, outcome), " ",
      by ? ["by ", make("b", null, said(by)), hook ? ` at ${hook}` : "", reply ? ": " : ""] : null, reply ? make("q", null, said(reply)) : null),
    make("p", { class: "quiet" }, "at ", said(listener), ` (${protocol}, ${delivery}), from `, address(sender), client ? [", client ", said(client)] : ", client anywhere",
      ", HELO ", said(helo), user ? [", ", said(user), " logged in"] : null, tls ? ", under TLS" : null, `, in ${took(seconds)}`));
}

function way({ recipient, said: first, added, decision, upstream, reply, refused, asked }) {
  const goes = refused ? "is refused" : upstream ? ["goes to ", make("b", null, said(upstream.name)), ` (${upstream.protocol}`, upstream.address ? [" at ", said(upstream.address)] : null, ")"] : "goes nowhere";
  return make("li", null,
    make("p", null, address(recipient), first ? [" (said as ", address(first), ")"] : added ? " (added by a plugin)" : null, " ", asked || upstream || added ? goes : "is not come to"),
    make("p", { class: "quiet" }, refused && decision.by !== "refused" ? null : [decided(decision), reply ? " · " : null], reply ? make("q", null, said(reply)) : null));
}

function decided({ by, number, file, line, pattern, map, map_line: mapLine, plugin }) {
  if (by === "route") return [`by route ${number} (`, said(file), `:${line})`, pattern ? [", which fits by ", said(pattern)] : null, map ? [", from ", said(map), mapLine ? `:${mapLine}` : ""] : null];
  if (by === "refused") return ["refused by ", said(plugin)];
  return { default: "no route fits: the default upstream", listener: "no route fits: the listener's upstream", nobody: "no route fits, and there is no default",
    dropped: "a plugin took it out; the client hears yes", plugin: "by a plugin", quarantine: "into quarantine" }[by] ?? by;
}

function step({ stage, command, calls, replies }) {
  return make("li", null,
    make("p", { class: "command" }, command === undefined ? make("span", { class: "quiet" }, "connects") : said(command), make("span", { class: "hook" }, stage)),
    calls.length ? make("ul", { class: "calls" }, calls.map(called)) : null,
    replies.map(({ code, status, text }) => make("p", { class: code < 400 ? "heard" : "heard no" }, make("b", null, String(code)), status ? ` ${status}` : "", " ", said(text.replaceAll("\n", " / ")))));
}

function called({ plugin, recipient, verdict, on_failure: onFailure, seconds, edits, header_diff: header, body_diff: body, notes, log, asked }) {
  return make("li", null,
    make("p", null, make("b", null, said(plugin)), recipient ? [" about ", address(recipient)] : null, " ", make("span", { class: `verdict ${HUES[verdict.kind] ?? "next"}` }, verdict.kind), fields(verdict),
      onFailure ? ` on_failure: ${onFailure}` : null, make("small", null, ` ${took(seconds)}`)),
    edits.filter(({ kind }) => !(header && kind.endsWith("-header"))).map((edit) => make("p", { class: "quiet" }, `${edit.kind} `, fields(edit))),
    header ? difference("How the header section changed", header) : null, body ? difference("How the body changed", body) : null,
    Object.entries(notes ?? {}).map(([key, value]) => make("p", { class: "quiet" }, "notes ", said(key), " = ", said(typeof value === "string" ? value : JSON.stringify(value)))),
    log.map(({ level, text, fields: more }) => make("p", { class: "quiet" }, `logs (${level}) `, said(text), more ? [" ", said(more)] : null)),
    asked.map((text) => make("p", { class: "quiet" }, "asks ", said(text))));
}

const HUES = { reject: "rejected", disconnect: "rejected", defer: "deferred", fails: "failure", discard: "discarded", quarantine: "quarantined", accept: "accepted" };

/** `{kind, name: value, ...}` without the kind. */
function fields({ kind, code, status, text, ...rest }) {
  const reply = [code, status, text].filter(Boolean).join(" ");
  if (reply) return [" ", said(reply), fields({ kind, ...rest })];
  return Object.entries(rest).map(([name, value]) => [` ${name} `, said(value)]);
}

/** A unified diff; its lines keep their signs, so that colours are not all there is. */
function difference(label, text) {
  const lines = text.replace(/\n$/, "").split("\n").map((line) => {
    const tag = line.startsWith("+") ? "ins" : line.startsWith("-") ? "del" : "div";
    return make(tag, { class: line.startsWith("@@") ? "quiet" : null }, said(line));
  });
  return make("div", { class: "diff scroll", role: "group", "aria-label": label, tabindex: "0" }, lines);
}

function thresholds(all) {
  if (!all.length) return null;
  return make("p", { class: "quiet" }, all.map(({ action, points, reached }) => make("span", { class: reached ? "chip warn" : "chip" }, `${action} from ${points}`)));
}

function parcel({ upstream, recipients, octets, header }) {
  return make("details", { class: "parcel" },
    make("summary", null, upstream === null ? "the spool" : said(upstream), `: ${bytes(octets)} for ${plural(recipients.length, "recipient")}`),
    make("pre", { tabindex: "0", "aria-label": "Its header section" }, said(header.replace(/\r/g, ""), { lines: true })));
}

const part = (title, ...children) => make("section", { class: "part" }, make("h3", null, title), ...children);
