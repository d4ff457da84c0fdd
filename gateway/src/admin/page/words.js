// Numbers and times in words.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const PRECISE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const whole = (number) => NUMBER.format(number);

/** As many places as one can take in at a glance. */
export const brief = (number) => (number >= 100 ? whole(number) : number.toFixed(number >= 10 ? 1 : 2).replace(/\.?0+$/, ""));

export const plural = (number, one, many = `${one}s`) => `${whole(number)} ${number === 1 ? one : many}`;

export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  return share > 0 && share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(number) {
  let step = 0;
  while (number >= 1024 && step < UNITS.length - 1) {
    number /= 1024;
    step += 1;
  }
  return `${step ? PRECISE.format(number) : whole(number)} ${UNITS[step]}`;
}

/** How long something took. */
export function took(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.001) return `${PRECISE.format(Math.round(seconds * 1e6))} µs`;
  if (seconds < 1) return `${PRECISE.format(seconds * 1e3)} ms`;
  return seconds < 120 ? `${PRECISE.format(seconds)} s` : ago(seconds);
}

/** How long something has been so, by its two largest units. */
export function ago(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const parts = [[Math.floor(left / 86400), "d"], [Math.floor(left / 3600) % 24, "h"], [Math.floor(left / 60) % 60, "min"], [left % 60, "s"]];
  const first = parts.findIndex(([count]) => count);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

export const clock = (time) => CLOCK.format(time);

export const moment = (time) => (Number.isFinite(Number(time)) ? DAY.format(time) : "–");
