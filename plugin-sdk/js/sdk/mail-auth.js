import { ask, host, want } from './host.js';

want('mail-auth');

/** One result of iprev, SPF, DKIM, DMARC or ARC, in the words of RFC 8601. */
export class Finding {
  constructor({ method, outcome, reason, properties }) {
    this.method = method;
    this.outcome = outcome;
    this.reason = reason;
    this.properties = new Map(properties);
  }
}

/** iprev and SPF; from the hook `mail` on. */
export function sender(session, transaction) {
  const found = ask('mail-auth.sender', () => host('mail-auth').sender(session.raw, transaction.raw));
  return found.map((finding) => new Finding(finding));
}

/** DKIM, ARC and DMARC; at the hook `message`. */
export function content(session, transaction, message) {
  const judge = () => host('mail-auth').content(session.raw, transaction.raw, message.raw);
  return ask('mail-auth.content', judge).map((finding) => new Finding(finding));
}
