// The table of recent transactions: it fills by itself, can be searched, paused and opened.

import { askJson } from "./gateway.js";
import { at, list, make, write } from "./dom.js";
import { OUTCOMES } from "./history.js";
import { colour, decider, fits, instant, place, questions } from "./record.js";
import { address, plain, said } from "./said.js";
import { openStory } from "./story.js";
import { clock, plural, whole } from "./words.js";

/** Kept here; the gateway has more, and is asked for it when something is searched. */
const KEPT = 1000;
const PAGE = 20;
const CELL = 120;

const records = new Map();
let shown = PAGE;
let frozen = null;
let asked = 0;
let waiting = false;
let remembered = 0;

export function prepare() {
  for (const outcome of OUTCOMES) at("find-outcome").append(make("option", null, outcome));
  const form = at("find");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", debounce(search, 250));
  form.addEventListener("reset", () => setTimeout(search));
  at("pause").addEventListener("click", pause);
  at("transactions-more").addEventListener("click", () => {
    shown += PAGE;
    paint();
  });
  const rows = at("transactions-rows");
  rows.addEventListener("click", open);
  rows.addEventListener("keydown", walk);
}

/** Records that were told; the newest are shown first, whatever the order. */
export function take(some) {
  for (const record of some) records.set(record.id, record);
  if (records.size > KEPT) {
    const sorted = [...records.values()].sort(newest);
    for (const { id } of sorted.slice(KEPT)) records.delete(id);
  }
  if (!waiting) {
    waiting = true;
    // Many that come at once are painted at once.
    setTimeout(paint, 500);
  }
}

/** The first time all that is remembered, and then what may have been missed. */
export async function poll() {
  const { transactions, kept } = await askJson(`/api/transactions?limit=${records.size ? 200 : KEPT}`);
  remembered = kept ?? transactions.length;
  take(transactions);
  return transactions;
}

export const all = () => [...records.values()];

/** The story of one, even if this page has not heard of it. */
export async function story(id) {
  const known = records.get(id);
  if (known) return openStory(known);
  const { transactions } = await askJson(`/api/transactions?${new URLSearchParams({ id })}`);
  const record = transactions.find((one) => one.id === id);
  if (!record) throw new Error("not remembered");
  openStory(record);
}

const newest = (one, other) => instant(other) - instant(one);

const wish = () => ({ text: at("find-text").value, field: at("find-field").value, outcome: at("find-outcome").value });

/** Shows at once what is known here, and then what the gateway remembers. */
async function search() {
  shown = PAGE;
  paint();
  const { text, field, outcome } = wish();
  if (!text.trim() && !outcome) return;
  const mine = (asked += 1);
  const answers = await Promise.allSettled(questions(field, text, outcome).map((question) => askJson(`/api/transactions?${new URLSearchParams(question)}`)));
  if (mine !== asked) return;
  const found = answers.flatMap(({ value }) => value?.transactions ?? []);
  if (frozen) for (const record of found) frozen.set(record.id, record);
  take(found);
}

function pause() {
  frozen = frozen ? null : new Map(records);
  at("pause").setAttribute("aria-pressed", String(Boolean(frozen)));
  write(at("pause"), frozen ? "Go on" : "Pause");
  paint();
}

function paint() {
  waiting = false;
  const { text, field, outcome } = wish();
  const source = [...(frozen ?? records).values()];
  const found = source.filter((record) => (!outcome || record.outcome === outcome) && fits(record, field, text)).sort(newest);
  // A row that somebody is at does not go away beneath them.
  const here = document.activeElement?.closest("#transactions-rows tr")?.dataset.id;
  const cut = found.slice(0, Math.max(shown, found.findIndex(({ id }) => id === here) + 1));
  list(at("transactions-rows"), cut, ({ id }) => id, row);
  const buttons = [...at("transactions-rows").querySelectorAll("button")];
  const current = buttons.find((button) => button.tabIndex === 0 && button.id !== "");
  for (const button of buttons) button.tabIndex = -1;
  const entry = buttons.includes(document.activeElement) ? document.activeElement : current ?? buttons[0];
  if (entry) entry.tabIndex = 0;
  at("transactions-more").hidden = found.length <= shown;
  const searched = Boolean(text.trim() || outcome);
  const note = [searched ? `${plural(found.length, "transaction")} found` : `${whole(Math.max(remembered, source.length))} remembered`];
  if (frozen) note.push(`paused; ${plural([...records.keys()].filter((id) => !frozen.has(id)).length, "more")} since`.replace("mores", "more"));
  write(at("transactions-note"), note.join(" · "));
  teach(found.length === 0, searched);
}

function row(record) {
  const time = instant(record);
  const recipients = record.recipients.map(({ address: one }) => one);
  const more = recipients.length - 1 + (record.recipients_left_out ?? 0);
  const button = make("button", { type: "button", class: "id", tabindex: -1, "aria-haspopup": "dialog", "aria-label": `${plain(record.id)}, ${record.outcome}: open its story` }, plain(record.id, 40));
  return make("tr", { "data-id": record.id, role: "row" },
    make("td", { role: "cell", class: "time" }, make("time", { datetime: record.time }, clock(time))),
    make("td", { role: "cell" }, button),
    make("td", { role: "cell" }, make("span", { class: `outcome ${colour(record.outcome)}` }, record.outcome)),
    make("td", { role: "cell" }, address(record.sender, { cut: CELL })),
    make("td", { role: "cell" }, recipients.length ? said(recipients[0], { cut: CELL }) : make("span", { class: "quiet" }, "nobody"), more > 0 ? make("small", null, ` +${whole(more)}`) : null),
    make("td", { role: "cell" }, said(record.client.name ?? record.client.address, { cut: CELL })),
    make("td", { role: "cell" }, said(decider(record), { cut: 60 }), record.decided_by ? make("small", null, ` at ${record.decided_by.hook}`) : null),
    make("td", { role: "cell", class: "reply" }, record.reply ? said(record.reply, { cut: CELL }) : make("span", { class: "quiet" }, "none")),
    make("td", { role: "cell", class: "number" }, milliseconds(record.duration_seconds)));
}

const milliseconds = (seconds) => (seconds >= 0.1 ? whole(seconds * 1000) : (seconds * 1000).toFixed(1));

function teach(nothing, searched) {
  const parent = at("transactions-empty");
  parent.hidden = !nothing;
  at("transactions-table").parentElement.hidden = nothing;
  if (!nothing || parent.dataset.searched === String(searched)) return;
  parent.dataset.searched = searched;
  if (searched) return parent.replaceChildren(make("p", null, "Nothing that the gateway remembers is like that. Older transactions are in the log, one line each."));
  parent.replaceChildren(
    make("p", null, make("b", null, "No mail yet."), " Every transaction comes up here when it ends. Send one:"),
    make("pre", { tabindex: "0", "aria-label": "A command that sends a mail" }, "printf 'Subject: hello\\n\\nHi!\\n' | curl --crlf --mail-from you@sender.example \\\n  --mail-rcpt info@example.com --upload-file - smtp://127.0.0.1:2525"),
    make("p", null, "or, without sending anything, see below what ", make("a", { href: "#trial" }, "would become of it"), "."));
}

function open(event) {
  const id = event.target.closest("tr")?.dataset.id;
  // Whoever marks text to copy it does not want a dialog.
  if (!id || (!event.target.closest("button") && !getSelection().isCollapsed)) return;
  const button = event.target.closest("tr").querySelector("button");
  focusRow(button);
  story(id);
}

/** One stop for the tab key; arrows go from row to row. */
function walk(event) {
  const buttons = [...at("transactions-rows").querySelectorAll("button")];
  const here = buttons.indexOf(event.target);
  const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (here < 0 || next === undefined || !buttons[next]) return;
  event.preventDefault();
  focusRow(buttons[next]);
}

function focusRow(button) {
  for (const one of at("transactions-rows").querySelectorAll('button[tabindex="0"]')) one.tabIndex = -1;
  button.tabIndex = 0;
  button.focus();
}

function debounce(call, pause) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, pause);
  };
}
