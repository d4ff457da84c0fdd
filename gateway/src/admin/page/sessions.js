// Who is connected now, and where the conversations are.

import { at, empty, list, make, table, write } from "./dom.js";
import { address, said } from "./said.js";
import { ago, plural, whole } from "./words.js";

const SHOWN = 100;
const CELL = 120;

export function sessions(all) {
  const parent = at("sessions-panel");
  write(at("sessions-note"), all.length ? `${plural(all.length, "session")}${all.length > SHOWN ? `, the first ${SHOWN} shown` : ""}` : "");
  if (!all.length) {
    parent.table = null;
    return parent.replaceChildren(empty("Nobody is connected."));
  }
  if (!parent.table) {
    parent.table = table("Live sessions", [["Session"], ["Listener"], ["Client"], ["HELO"], ["TLS"], ["User"], ["Stage"], ["Since", "number"], ["Transactions", "number"], ["Now"]]);
    parent.replaceChildren(parent.table.element);
  }
  list(parent.table.body, all.slice(0, SHOWN).map(view), ({ id }) => id, row);
}

/** What is shown of it, so that what is not shown changes nothing. */
function view({ id, listener, client, client_name: name, helo, tls, user, stage, waits_for: whom, waits_seconds: waited, since_seconds: since, transactions, transaction }) {
  const open = transaction && { sender: transaction.sender, recipients: transaction.recipients, count: transaction.recipient_count };
  return { id, listener, client, name, helo, tls, user, stage, whom, waited: ago(waited), since: ago(since), transactions, open };
}

function row({ id, listener, client, name, helo, tls, user, stage, whom, waited, since, transactions, open }) {
  const none = () => make("span", { class: "quiet" }, "–");
  return make("tr", null,
    make("th", { scope: "row" }, make("code", null, said(id, { cut: 40 }))), make("td", null, said(listener)), make("td", null, said(name ?? client, { cut: CELL })),
    make("td", null, helo ? said(helo, { cut: CELL }) : none()), make("td", null, tls ? said(tls.split(" ")[0], { cut: 40 }) : none()),
    make("td", null, user ? said(user, { cut: CELL }) : none()), make("td", null, make("span", { class: "chip" }, stage), whom ? make("small", null, ` ${whom}'s turn for ${waited}`) : null),
    make("td", { class: "number" }, since), make("td", { class: "number" }, whole(transactions)),
    make("td", null, open ? now(open) : none()));
}

function now({ sender, recipients, count }) {
  const more = count - 1;
  return [address(sender, { cut: CELL }), " → ", recipients.length ? said(recipients[0], { cut: CELL }) : "nobody yet", more > 0 ? make("small", null, ` +${whole(more)}`) : null];
}
