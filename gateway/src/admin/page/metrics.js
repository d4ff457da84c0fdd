// Reads what Prometheus reads: /metrics in its text format.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const UNESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** All that was told at one moment. */
export class Scrape {
  constructor(text, time) {
    this.time = time;
    this.families = new Map();
    for (const line of text.split("\n")) this.#read(line);
  }

  #read(line) {
    if (!line || line[0] === "#") return;
    const [, name, told, number] = LINE.exec(line) ?? [];
    if (!name) return;
    const labels = {};
    for (const [, label, value] of (told ?? "").matchAll(LABEL)) {
      labels[label] = value.includes("\\") ? value.replace(/\\[n"\\]/g, (pair) => UNESCAPED[pair]) : value;
    }
    const value = number === "+Inf" ? Infinity : Number(number);
    if (!this.families.has(name)) this.families.set(name, []);
    this.families.get(name).push({ labels, value });
  }

  has(name) {
    return this.families.has(name);
  }

  /** The series of a metric that have these labels. */
  series(name, where = {}) {
    const all = this.families.get(name) ?? [];
    const wanted = Object.entries(where);
    return wanted.length ? all.filter(({ labels }) => wanted.every(([label, value]) => labels[label] === value)) : all;
  }

  sum(name, where) {
    return this.series(name, where).reduce((sum, { value }) => sum + value, 0);
  }

  /** Sums by the values of a label, in the order in which they are told. */
  by(name, label, where) {
    const sums = new Map();
    for (const { labels, value } of this.series(name, where)) {
      const key = labels[label] ?? "";
      sums.set(key, (sums.get(key) ?? 0) + value);
    }
    return sums;
  }

  /** The values of a label. */
  values(name, label) {
    return [...this.by(name, label).keys()];
  }
}

/** What a counter grew by. After a restart it begins at zero. */
export function growth(now, then) {
  return now >= then ? now - then : now;
}

/** How often a second something happened between two scrapes. */
export function rate(earlier, later, name, where) {
  const seconds = (later.time - earlier.time) / 1000;
  return seconds > 0 ? growth(later.sum(name, where), earlier.sum(name, where)) / seconds : 0;
}

/** Quantiles of what a histogram saw between two scrapes, in its unit: none if it saw nothing. */
export function quantiles(earlier, later, name, where, wanted) {
  const before = earlier.by(`${name}_bucket`, "le", where);
  const buckets = [...later.by(`${name}_bucket`, "le", where)]
    .map(([edge, count]) => ({ edge: edge === "+Inf" ? Infinity : Number(edge), count: growth(count, before.get(edge) ?? 0) }))
    .sort((one, other) => one.edge - other.edge);
  const total = buckets.at(-1)?.count ?? 0;
  return total ? { count: total, values: wanted.map((share) => within(buckets, share * total)) } : null;
}

/** As histogram_quantile does: straight lines between the edges, the last one beyond. */
function within(buckets, rank) {
  const place = buckets.findIndex(({ count }) => count >= rank);
  const { edge, count } = buckets[place];
  const below = place ? buckets[place - 1] : { edge: 0, count: 0 };
  if (edge === Infinity) return below.edge;
  return below.edge + (edge - below.edge) * ((rank - below.count) / (count - below.count || 1));
}
