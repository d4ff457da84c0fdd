// Stacked bars over time, as SVG, with a legend that tells the numbers under the pointer.

import { draw, make, write } from "./dom.js";
import { brief, clock } from "./words.js";

const HEIGHT = 190;
const EDGE = { left: 40, right: 8, top: 8, bottom: 22 };

export class Chart {
  #names;
  #bins = [];
  #pointed = null;

  /** `names` from the bottom to the top; each has its colour from the class `fill-NAME`. */
  constructor(parent, names, label) {
    this.#names = names;
    this.svg = draw("svg", { class: "chart", role: "img", "aria-label": label, height: HEIGHT });
    this.numbers = new Map();
    this.when = make("span", { class: "when" });
    const entries = names.map((name) => {
      const number = make("span", { class: "count" }, "0");
      const entry = make("li", null, make("span", { class: `swatch back-${name}` }), name, " ", number);
      this.numbers.set(name, { entry, number });
      return entry;
    });
    this.rows = make("tbody");
    parent.append(
      make("div", { class: "plot" }, this.svg),
      make("ul", { class: "legend", "aria-hidden": "true" }, entries, make("li", { class: "when" }, this.when)),
      make("details", { class: "numbers" }, make("summary", null, "The same as a table"), this.#table()),
    );
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#leave());
    new ResizeObserver(() => this.#paint()).observe(this.svg.parentElement);
  }

  show(bins) {
    this.#bins = bins;
    this.#paint();
    if (this.rows.closest("details").open) this.#tabulate();
  }

  #table() {
    const head = ["from", ...this.#names].map((name) => make("th", { scope: "col" }, name));
    const box = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Outcomes a second, by minute" },
      make("table", null, make("thead", null, make("tr", null, head)), this.rows));
    queueMicrotask(() => this.rows.closest("details").addEventListener("toggle", () => this.#tabulate()));
    return box;
  }

  /** A line a minute is what one can listen to. */
  #tabulate() {
    const lines = [];
    for (let place = this.#bins.length; place > 0; place -= 6) {
      const some = this.#bins.slice(Math.max(0, place - 6), place);
      const cells = this.#names.map((name) => make("td", { class: "number" }, brief(mean(some, name))));
      lines.push(make("tr", null, make("th", { scope: "row" }, clock(some[0].time)), cells));
    }
    this.rows.replaceChildren(...lines);
  }

  #paint() {
    const width = this.svg.parentElement.clientWidth;
    if (!width || !this.#bins.length) return;
    const [across, up] = [width - EDGE.left - EDGE.right, HEIGHT - EDGE.top - EDGE.bottom];
    const highest = Math.max(...this.#bins.map(({ rates }) => sum(rates)));
    const top = rounded(highest);
    const x = (place) => EDGE.left + (place / this.#bins.length) * across;
    const y = (value) => EDGE.top + up - (value / top) * up;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("width", width);
    this.svg.replaceChildren(...grid(width, top, y), ...this.#clockwork(x), ...this.#stacks(x, y), ...this.#cursor(x, up));
    this.#tell();
  }

  #clockwork(x) {
    const bins = this.#bins.length;
    return [0, 1, 2, 3].map((third) => draw("text", {
      x: x((bins * third) / 3), y: HEIGHT - 6, class: "tick",
      "text-anchor": ["start", "middle", "middle", "end"][third],
    }, third === 3 ? "now" : `−${15 - third * 5} min`));
  }

  #stacks(x, y) {
    const width = Math.max(1, x(1) - x(0) - 1);
    const paths = Object.fromEntries(this.#names.map((name) => [name, ""]));
    this.#bins.forEach(({ rates }, place) => {
      let base = 0;
      for (const name of this.#names) {
        const value = rates[name] ?? 0;
        if (!value) continue;
        const [low, high] = [y(base), y(base + value)];
        paths[name] += `M${x(place).toFixed(1)} ${low.toFixed(1)}V${high.toFixed(1)}h${width.toFixed(1)}V${low.toFixed(1)}z`;
        base += value;
      }
    });
    return this.#names.filter((name) => paths[name]).map((name) => draw("path", { d: paths[name], class: `fill-${name}` }));
  }

  #cursor(x, up) {
    if (this.#pointed === null) return [];
    return [draw("rect", { x: x(this.#pointed), y: EDGE.top, width: x(1) - x(0), height: up, class: "cursor" })];
  }

  #point(event) {
    const { left, width } = this.svg.getBoundingClientRect();
    const place = Math.floor(((event.clientX - left - EDGE.left) / (width - EDGE.left - EDGE.right)) * this.#bins.length);
    this.#pointed = place >= 0 && place < this.#bins.length ? place : null;
    this.#paint();
  }

  #leave() {
    this.#pointed = null;
    this.#paint();
  }

  #tell() {
    const pointed = this.#pointed === null ? this.#bins.slice(-6) : [this.#bins[this.#pointed]];
    write(this.when, this.#pointed === null ? "mean of the last minute" : clock(pointed[0].time));
    for (const [name, { entry, number }] of this.numbers) {
      write(number, brief(mean(pointed, name)));
      entry.classList.toggle("never", this.#bins.every(({ rates }) => !rates[name]));
    }
  }
}

/** A line so small that it needs no axes. */
export function sparkline(values) {
  const [width, height] = [68, 28];
  const top = Math.max(...values, 1e-9);
  const points = values.map((value, place) => `${((place / (values.length - 1)) * width).toFixed(1)},${(height - 1.5 - (value / top) * (height - 3)).toFixed(1)}`);
  return draw("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    draw("polyline", { points: points.join(" ") }));
}

function grid(width, top, y) {
  return [0, 0.5, 1].flatMap((share) => {
    const height = Math.round(y(top * share)) + 0.5;
    return [
      draw("line", { x1: EDGE.left, x2: width - EDGE.right, y1: height, y2: height, class: "grid" }),
      draw("text", { x: EDGE.left - 6, y: height + 4, class: "tick", "text-anchor": "end" }, brief(top * share)),
    ];
  });
}

const sum = (rates) => Object.values(rates).reduce((total, value) => total + value, 0);

const mean = (bins, name) => bins.reduce((total, { rates }) => total + (rates[name] ?? 0), 0) / bins.length;

/** The next number that reads well at an axis and halves well. */
function rounded(value) {
  if (!value) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * unit).find((step) => step >= value);
}
