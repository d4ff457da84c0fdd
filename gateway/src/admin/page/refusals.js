// Why mail is refused: the replies of what is remembered, alike ones together, the most frequent first.

import { at, empty, list, make, table, write } from "./dom.js";
import { decider } from "./record.js";
import { said } from "./said.js";
import { plural, whole } from "./words.js";

const SHOWN = 8;

export function refusals(records, history) {
  const refused = records.filter(({ outcome }) => outcome === "rejected" || outcome === "deferred");
  write(at("refusals-note"), refused.length ? `of ${plural(records.length, "transaction")} seen here` : "");
  const kinds = new Map();
  for (const record of refused) {
    const reply = alike(record);
    const key = `${decider(record)} ${reply}`;
    const kind = kinds.get(key) ?? { key, reply, by: decider(record), outcome: record.outcome, count: 0 };
    kind.count += 1;
    kinds.set(key, kind);
  }
  const most = [...kinds.values()].sort((one, other) => other.count - one.count).slice(0, SHOWN);
  const limits = [...(history.last?.by("portcullis_limit_reached_total", "limit") ?? [])].filter(([, count]) => count);
  const parent = at("refusals");
  if (!parent.tables) {
    parent.tables = [table("Refusals by reply", [["Reply"], ["By"], ["Times", "number"]]), make("p", { class: "limits" })];
    parent.none = empty("Nothing was refused as far as is remembered.");
    parent.append(parent.none, parent.tables[0].element, parent.tables[1]);
  }
  const [kindsTable, limitsLine] = parent.tables;
  parent.none.hidden = most.length > 0;
  kindsTable.element.hidden = most.length === 0;
  list(kindsTable.body, most, ({ key }) => key, ({ reply, by, outcome, count }) => make("tr", null,
    make("td", { class: "reply" }, make("span", { class: `dot back-${outcome}`, role: "img", "aria-label": outcome }), said(reply, { cut: 120 })),
    make("td", null, said(by, { cut: 60 })), make("td", { class: "number" }, whole(count))));
  limitsLine.replaceChildren(...(limits.length ? ["Limits reached since the start: ", limits.map(([name, count]) => make("span", { class: "chip" }, `${name} ${whole(count)}`))].flat() : []));
}

/** Without what is another in each: the id at the end, addresses. */
function alike({ reply, outcome }) {
  return (reply ?? `no reply (${outcome})`).replace(/\s*\[[\w.-]+\]\s*$/, "").replace(/<[^<>\s]*@[^<>\s]*>/g, "<…>").slice(0, 300);
}
