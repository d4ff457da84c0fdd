import { settings, Verdict } from './sdk/index.js';

/** Refuses mail for domains that take none. */
export default class Closed {
  static settings = { domains: settings.list(settings.string) };

  constructor({ domains }) {
    this.domains = new Set(domains.map((domain) => domain.toLowerCase()));
  }

  rcpt({ recipient }) {
    const isClosed = this.domains.has(recipient.domain);
    return isClosed ? Verdict.reject(550, '5.7.1', 'closed for good') : Verdict.next;
  }
}
