import type { Reader } from './index.js';

/** A connection to a service that does not speak HTTP. It ends with the hook that opened it. */
export class Stream {
  /** To `host:port` or `unix:/path`, letter by letter as it is granted. The time is that of every later call, too. */
  constructor(address: string, options?: { timeoutMs?: number });
  /** All of it, at most 1 MiB. */
  write(octets: string | Uint8Array): void;
  /** What a reader has left, at most so much, without passing through the plugin; how much it was. */
  writeContent(reader: Reader, max?: number): number;
  /** Waits for something, and gives at most so much, never more than 64 KiB; nothing is the end. */
  read(max?: number): Uint8Array;
  /** Ends it before the hook does. */
  close(): void;
}
