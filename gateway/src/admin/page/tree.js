// Any JSON, as nested lists: for what has no panel of its own.

import { make } from "./dom.js";
import { said } from "./said.js";

export function tree(value) {
  if (value === null) return make("span", { class: "quiet" }, "none");
  if (Array.isArray(value)) return value.length ? make("ul", { class: "tree" }, value.map((one) => make("li", null, tree(one)))) : make("span", { class: "quiet" }, "none");
  if (typeof value === "object") return make("dl", { class: "tree" }, Object.entries(value).map(([name, one]) => make("div", null, make("dt", null, said(name)), make("dd", null, tree(one)))));
  return typeof value === "string" ? said(value) : make("code", null, String(value));
}
