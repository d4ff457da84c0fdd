// What was scraped, as far back as the panels look.

import { growth } from "./metrics.js";

/** Scrapes in full: for rates and quantiles of the last minute. */
const FULL = 75_000;

/** Counts of outcomes: for the chart. */
export const SPAN = 15 * 60_000;
export const BIN = 10_000;

export const OUTCOMES = ["accepted", "spooled", "quarantined", "discarded", "mixed", "deferred", "rejected", "aborted", "lost"];

const COUNTER = "portcullis_transactions_total";

export class History {
  scrapes = [];
  /** Outcomes that were seen between two moments: `{from, to, counts}`. */
  #steps = [];

  add(scrape) {
    const last = this.scrapes.at(-1);
    if (last) {
      const [before, now] = [last, scrape].map((one) => one.by(COUNTER, "outcome"));
      const counts = {};
      for (const [outcome, count] of now) counts[outcome] = growth(count, before.get(outcome) ?? 0);
      this.#steps.push({ from: last.time, to: scrape.time, counts });
    }
    this.scrapes.push(scrape);
    while (this.scrapes.length > 2 && scrape.time - this.scrapes[0].time > FULL) this.scrapes.shift();
    while (this.#steps.length && scrape.time - this.#steps[0].to > SPAN + BIN) this.#steps.shift();
  }

  /** What the gateway remembers from before this page was opened. */
  recall(transactions) {
    const begun = this.scrapes[0]?.time;
    if (!begun || this.recalled) return;
    this.recalled = true;
    const ends = transactions.map(({ time, outcome }) => ({ time, outcome })).filter(({ time }) => time && time < begun);
    this.#steps.unshift(...ends.map(({ time, outcome }) => ({ from: time - 1, to: time, counts: { [outcome]: 1 } })).sort((a, b) => a.to - b.to));
  }

  get last() {
    return this.scrapes.at(-1);
  }

  /** The scrape of about so many milliseconds ago, or the oldest. */
  earlier(age) {
    const moment = (this.last?.time ?? 0) - age;
    return this.scrapes.find(({ time }) => time >= moment) ?? this.last;
  }

  /** Outcomes a second, in bins that end with the last full one: `[{time, rates}]`, oldest first. */
  outcomes() {
    const end = Math.floor((this.last?.time ?? Date.now()) / BIN) * BIN;
    const bins = Array.from({ length: SPAN / BIN }, (_, place) => ({ time: end - SPAN + place * BIN, rates: {} }));
    const first = bins[0].time;
    for (const { from, to, counts } of this.#steps) {
      const low = Math.max(0, Math.floor((from - first) / BIN));
      const high = Math.min(bins.length - 1, Math.floor((to - first) / BIN));
      for (let place = low; place <= high; place += 1) {
        const { time, rates } = bins[place];
        const share = (Math.min(to, time + BIN) - Math.max(from, time)) / (to - from);
        if (share <= 0) continue;
        for (const [outcome, count] of Object.entries(counts)) {
          if (count) rates[outcome] = (rates[outcome] ?? 0) + (count * share * 1000) / BIN;
        }
      }
    }
    return bins;
  }
}
