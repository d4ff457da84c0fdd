// What somebody else said: peers, plugins, upstreams. It stays within its place, and cannot look like ours.

import { make } from "./dom.js";

/** Characters shown at first; the rest is a button away. */
const SHORT = 400;

// Controls, directions (UAX 9), what has no width, separators of lines, tags, fillers: shown by number.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/u;

// More marks on one letter than any language has: they would climb over their neighbours.
const HEAPED = /(\p{M}{4})\p{M}+/gu;

/** A peer's text as an element; in a cell it is cut, elsewhere it can be unfolded; where `lines` are meant, they are ends of lines. */
export function said(text, { cut = 0, lines = false } = {}) {
  const whole = String(text ?? "");
  const element = make("bdi", { class: "said", dir: "auto" });
  if (lines) {
    element.append(...whole.replace(/\n$/, "").split("\n").flatMap((line, nth) => (nth ? ["\n", ...shown(line)] : shown(line))));
    return element;
  }
  const limit = cut || SHORT;
  if (whole.length <= limit) {
    element.append(...shown(whole));
    return element;
  }
  element.append(...shown(clip(whole, limit)), "…");
  if (cut) return element;
  const more = make("button", { type: "button", class: "unfold" }, `show all ${whole.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => element.replaceChildren(...shown(whole)));
  return make("span", null, element, " ", more);
}

/** The same as plain text, for labels. */
export function plain(text, limit = 120) {
  const whole = String(text ?? "");
  const short = whole.length > limit ? `${clip(whole, limit)}…` : whole;
  return [...short].map((one) => (UNSEEN.test(one) ? named(one) : one)).join("");
}

/** A mail address, or `<>` for the null reverse-path. */
export const address = (text, options) => (text === "" ? make("span", { class: "null" }, "<>") : said(text, options));

function shown(text) {
  const pieces = [];
  let run = "";
  for (const one of text.replace(HEAPED, "$1…")) {
    if (!UNSEEN.test(one)) {
      run += one;
      continue;
    }
    if (run) pieces.push(run);
    run = "";
    pieces.push(make("span", { class: "unseen" }, named(one)));
  }
  if (run) pieces.push(run);
  return pieces;
}

const NAMES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

const named = (one) => NAMES[one] ?? `U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** Not in the middle of a surrogate pair. */
const clip = (text, limit) => text.slice(0, limit).replace(/[\ud800-\udbff]$/, "");
