export type Kind = 'a' | 'aaaa' | 'mx' | 'ns' | 'txt' | 'ptr' | 'cname' | 'srv' | 'tlsa';

/** What DNS answered. */
export class Answer {
  private constructor();
  readonly status: 'records' | 'no-such-name' | 'no-data' | 'failed' | 'timed-out';
  /** As in a zone file; empty unless there are any. */
  readonly records: string[];
  /** Why it failed. */
  readonly detail: string | undefined;
  /** Neither yes nor no. */
  readonly failed: boolean;
}

/** Looks one name up. */
export function lookup(name: string, kind?: Kind): Answer;
/** Looks names up all at once; the answers are in the order of the queries. */
export function lookupAll(queries: { name: string; kind: Kind }[]): Answer[];
