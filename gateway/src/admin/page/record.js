// A transaction's record, as /api/transactions tells it (gateway/README.md, "The log").

import { OUTCOMES } from "./history.js";

export const instant = (record) => Date.parse(record.time);

/** Where the client is, with its port. */
export function place({ address, port } = {}) {
  if (address === undefined) return "unknown";
  if (port === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Who decided, in words: a plugin, the scores, or what the outcome says. */
export function decider(record) {
  if (record.decided_by) return record.decided_by.plugin;
  if (["aborted", "lost"].includes(record.outcome)) return "client";
  if (record.outcome === "spooled") return "gateway";
  return record.recipients.some(({ upstream, reply }) => upstream && reply) || record.deliveries.length ? "upstream" : "gateway";
}

/** Outcomes that this page does not know yet are shown in grey. */
export const colour = (outcome) => (OUTCOMES.includes(outcome) ? outcome : "lost");

/** Whether a record has a text where it is looked for: in one field, or in any. */
export function fits(record, field, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return true;
  const has = (value) => (wanted === "<>" ? value === "" : String(value ?? "").toLowerCase().includes(wanted));
  const parts = {
    id: () => has(record.id) || has(record.session),
    sender: () => has(record.sender),
    recipient: () => record.recipients.some(({ address, changed_to: changed }) => has(address) || (changed !== undefined && has(changed))),
    client: () => has(place(record.client)) || has(record.client.name) || has(record.helo),
  };
  return field ? parts[field]() : Object.values(parts).some((part) => part());
}

/** The questions to the gateway that find it: one field each, for it joins them by "and". */
export function questions(field, text, outcome) {
  const wanted = text.trim();
  const shared = { limit: "200", ...(outcome && { outcome }) };
  if (!wanted) return [shared];
  const fields = field ? [field] : ["id", "sender", "recipient", "client"];
  return fields.filter((one) => one !== "client" || /^[\da-f.:]+(\/\d+)?$/i.test(wanted)).map((one) => ({ ...shared, [one]: wanted }));
}
