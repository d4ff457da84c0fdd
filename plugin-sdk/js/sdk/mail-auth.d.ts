import type { Message, Session, Transaction } from './index.js';

/** One result, in the words of RFC 8601. */
export class Finding {
  private constructor();
  readonly method: 'iprev' | 'spf' | 'dkim' | 'dmarc' | 'arc';
  readonly outcome:
    | 'pass' | 'fail' | 'softfail' | 'neutral' | 'none' | 'temperror' | 'permerror' | 'policy';
  readonly reason: string | undefined;
  readonly properties: ReadonlyMap<string, string>;
}

/** iprev and SPF; from the hook `mail` on. */
export function sender(session: Session, transaction: Transaction): Finding[];
/** DKIM, ARC and DMARC; at the hook `message`. */
export function content(session: Session, transaction: Transaction, message: Message): Finding[];
