// What is served: every key, its value, and where that comes from. Secrets do not leave the gateway.

import { at, empty, list, make, table, write } from "./dom.js";
import { askMaybe } from "./gateway.js";
import { said } from "./said.js";
import { plural } from "./words.js";

let settings = [];

export function prepareConfiguration() {
  at("keys").addEventListener("submit", (event) => event.preventDefault());
  at("keys").addEventListener("input", paint);
}

export async function pollConfiguration() {
  const told = await askMaybe("/api/config");
  at("keys").hidden = !told;
  if (!told) return at("configuration-panel").replaceChildren(empty("In the terminal: ", make("code", null, "portcullis config show --config FILE")));
  settings = told.settings;
  paint();
}

function paint() {
  const parent = at("configuration-panel");
  if (!parent.table) {
    parent.table = table("Keys of the configuration", [["Key"], ["Value"], ["From"]]);
    parent.replaceChildren(parent.table.element);
  }
  const { text, defaults } = at("keys").elements;
  const wanted = text.value.trim().toLowerCase();
  const shown = settings.filter(({ key, line }) => (defaults.checked || line !== undefined) && key.toLowerCase().includes(wanted));
  write(at("configuration-note"), `${plural(shown.length, "key")} of ${settings.length}, secrets hidden`);
  list(parent.table.body, shown, ({ key }) => key, row);
}

function row({ key, value, from, line, environment = [], files = [] }) {
  const places = [...environment.map((name) => `$${name}`), ...files];
  return make("tr", null, make("th", { scope: "row" }, said(key)), make("td", null, valued(value)),
    make("td", null, line === undefined ? said(from) : `line ${line}`, places.length ? make("small", null, " ", said(places.join(", "))) : null));
}

function valued(value) {
  if (value === "***") return make("span", { class: "chip" }, "hidden");
  return said(typeof value === "string" ? value : Array.isArray(value) && value.every((one) => typeof one === "string") ? value.join(", ") : JSON.stringify(value));
}
