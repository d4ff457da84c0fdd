export interface Entry {
  value: Uint8Array;
  /** Changes whenever the value is written. */
  version: bigint;
}

/** A store of the configuration, shared by all copies of the plugin. */
export class Store {
  constructor(name: string);
  get(key: string): Uint8Array | undefined;
  getText(key: string): string | undefined;
  /** Values with their versions, in the order of the keys. */
  entries(keys: string[]): (Entry | undefined)[];
  /** The new version. `expect` is the version that has to be there, 0 for none; `ttl` is seconds. */
  put(
    key: string,
    value: string | Uint8Array,
    options?: { ttl?: number; expect?: number | bigint },
  ): bigint;
  /** Adds to a counter; the sum. */
  add(key: string, by?: number, options?: { ttl?: number }): number;
  delete(...keys: string[]): void;
}
