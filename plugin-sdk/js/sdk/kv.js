import { ask, bytes, host, want } from './host.js';

want('kv');

/** A store of the configuration. */
export class Store {
  #raw;

  constructor(name) {
    this.#raw = ask('kv.open', () => host('kv').Store.open(name));
  }

  /** The value of a key, or undefined. */
  get(key) {
    return this.entries([key])[0]?.value;
  }

  /** The same as text. */
  getText(key) {
    const value = this.get(key);
    return value && new TextDecoder().decode(value);
  }

  /** Values with their versions, in the order of the keys. */
  entries(keys) {
    return ask('kv.get', () => this.#raw.get(keys));
  }

  /** Writes a value; the new version. `expect` is the version that has to be there, 0n for none. */
  put(key, value, { ttl, expect } = {}) {
    const wanted = expect === undefined ? undefined : BigInt(expect);
    return ask('kv.put', () => this.#raw.put(key, bytes(value), ttl, wanted));
  }

  /** Adds to a counter; the sum. */
  add(key, by = 1, { ttl } = {}) {
    const add = () => this.#raw.add(key, BigInt(by), ttl);
    return Number(ask('kv.add', () => (by < 0 ? unsigned(this.#raw.add, add) : add())));
  }

  delete(...keys) {
    ask('kv.delete', () => this.#raw.delete(keys));
  }
}

// The engine of componentize-js 0.23 aborts at a negative number that leaves it as 64 bits; the same
// bits without a sign pass. The code that makes them lives in a realm with a BigInt of its own.
function unsigned(method, call) {
  const realm = Object.getPrototypeOf(method).constructor('return BigInt')();
  const { asIntN } = realm;
  realm.asIntN = realm.asUintN;
  try {
    return call();
  } finally {
    realm.asIntN = asIntN;
  }
}
