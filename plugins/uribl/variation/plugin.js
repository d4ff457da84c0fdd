import { metrics, settings, Verdict } from './sdk/index.js';
import { lookupAll } from './sdk/dns.js';

const LINK = /https?:\/\/([a-z0-9.-]+\.[a-z]{2,})/gi;
const MOST_OCTETS = 65536;
const MOST_NAMES = 20;

/** Scores links in texts to names that a list of domains has. */
export default class Variation {
  static settings = {
    zone: settings.string,
    points: settings.optional(settings.number, 5),
    own: settings.optional(settings.list(settings.string), []),
  };

  constructor({ zone, points, own }) {
    this.zone = zone;
    this.points = points;
    this.own = new Set(own);
  }

  message({ session, transaction, message }) {
    if (session.user) return Verdict.next;
    const names = this.#names(message);
    if (!names.length) return Verdict.next;
    const answers = lookupAll(names.map((name) => ({ name: `${name}.${this.zone}`, kind: 'a' })));
    const listed = names.filter((_, at) => answers[at].records.some(isListing));
    if (listed.length) {
      transaction.score('LINK_LISTED', this.points);
      metrics.add('listings', listed.length);
    }
    return Verdict.next;
  }

  #names(message) {
    const names = new Set();
    for (const part of message.parts) {
      if (!part.contentType.startsWith('text/')) continue;
      const text = new TextDecoder().decode(part.read().read(MOST_OCTETS));
      for (const [, host] of text.matchAll(LINK)) {
        const name = host.toLowerCase().split('.').slice(-2).join('.');
        if (!this.own.has(name) && names.size < MOST_NAMES) names.add(name);
      }
    }
    return [...names];
  }
}

/** Errors of lists are outside of 127.0.0.0/8, or 127.255.255.0/24. */
const isListing = (record) => record.startsWith('127.') && !record.startsWith('127.255.255.');
