import { host, want } from './host.js';

want('metrics');

/** Adds to a counter. A label is an object with one key. */
export function add(name, by = 1, label) {
  host('metrics').add(name, BigInt(by), label && Object.entries(label)[0]?.map(String));
}

/** Adds a value to a histogram. */
export function observe(name, value) {
  host('metrics').observe(name, value);
}
