import { domainOf, log, settings, SettingsError, Verdict } from './sdk/index.js';
import { Store } from './sdk/kv.js';

/**
 * How many messages a domain may send in an hour: domains that are met for the first time have to
 * begin slowly, and those that are named have a limit of their own.
 */
export default class Slowly {
  static settings = {
    store: settings.string,
    strangers: settings.integer,
    known: settings.optional(settings.map(settings.integer), new Map()),
  };

  constructor({ store, strangers, known }) {
    if (strangers < 1) throw new SettingsError('strangers: at least 1');
    this.store = store;
    this.strangers = strangers;
    this.known = new Map([...known].map(([domain, limit]) => [domain.toLowerCase(), limit]));
  }

  mail({ session, transaction }) {
    // Bounces come from everywhere, and who has logged in is no stranger.
    if (transaction.sender === undefined || session.user !== undefined) return Verdict.next;
    const domain = domainOf(transaction.sender) || 'nowhere';
    const limit = this.known.get(domain) ?? this.strangers;
    const hour = Math.floor(Date.now() / 3_600_000);
    let count;
    try {
      count = new Store(this.store).add(`${domain} ${hour}`, 1, { ttl: 7200 });
    } catch (error) {
      if (error.reason !== 'unavailable') throw error;
      return Verdict.next; // rather than no mail at all
    }
    if (count <= limit) return Verdict.next;
    log.info('a domain sends too much', { domain, count });
    return Verdict.defer(451, '4.7.1', `no more than ${limit} messages an hour from ${domain}`);
  }
}
