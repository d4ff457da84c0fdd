import { ask, bytes, host, want } from './host.js';

want('streams');

/** A connection to a service that does not speak HTTP. It ends with the hook that opened it. */
export class Stream {
  #raw;

  /** To `host:port` or `unix:/path`, letter by letter as it is granted. */
  constructor(address, { timeoutMs } = {}) {
    this.#raw = ask('streams.open', () => host('streams').Connection.open(address, timeoutMs));
  }

  /** All of it, at most 1 MiB. */
  write(octets) {
    ask('streams.write', () => this.#raw.write(bytes(octets)));
  }

  /** What a reader has left, at most so much; how much it was. */
  writeContent(reader, max = Number.MAX_SAFE_INTEGER) {
    const write = () => this.#raw.writeContent(reader.raw, BigInt(max));
    return Number(ask('streams.writeContent', write));
  }

  /** Waits for something, and gives at most so much; nothing is the end. */
  read(max = 65536) {
    return ask('streams.read', () => this.#raw.read(max));
  }

  /** Ends it before the hook does. */
  close() {
    this.#raw[Symbol.dispose]?.();
  }
}
