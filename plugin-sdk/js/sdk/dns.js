import { ask, host, want } from './host.js';

want('dns');

/** What DNS answered. */
export class Answer {
  constructor({ tag, val }) {
    /** `records`, `no-such-name`, `no-data`, `failed` or `timed-out`. */
    this.status = tag;
    /** As in a zone file; empty unless there are any. */
    this.records = tag === 'records' ? val : [];
    /** Why it failed. */
    this.detail = tag === 'failed' ? val : undefined;
  }

  /** Neither yes nor no. */
  get failed() { return this.status === 'failed' || this.status === 'timed-out'; }
}

/** Looks one name up; the kind is `a`, `aaaa`, `mx`, `ns`, `txt`, `ptr`, `cname`, `srv` or `tlsa`. */
export const lookup = (name, kind = 'a') => lookupAll([{ name, kind }])[0];

/** Looks names up all at once; the answers are in the order of the queries. */
export function lookupAll(queries) {
  return ask('dns.lookup', () => host('dns').lookup(queries)).map((answer) => new Answer(answer));
}
