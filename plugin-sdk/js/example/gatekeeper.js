import { log, metrics, reversed, settings, Verdict } from './sdk/index.js';
import { lookup } from './sdk/dns.js';
import { Store } from './sdk/kv.js';

/** Refuses mail by the recipient's domain and by a DNS list, and stamps and counts the rest. */
export default class Gatekeeper {
  static settings = {
    refuse: settings.list(settings.string),
    list: settings.optional(settings.string),
    store: settings.optional(settings.string),
    header: settings.optional(settings.string, 'X-Gatekeeper'),
  };

  constructor({ refuse, list, store, header }) {
    this.refused = new Set(refuse.map((domain) => domain.toLowerCase()));
    this.list = list;
    this.store = store;
    this.header = header;
  }

  skip() {
    return this.list ? [] : ['connect'];
  }

  connect({ session }) {
    if (session.clientIpVersion !== 4) return Verdict.next;
    const address = session.clientAddress;
    const answer = this.#lookUp(`${reversed(address)}.${this.list}`);
    if (!answer?.records.length) return Verdict.next;
    return Verdict.reject(554, '5.7.1', `${address} is listed by ${this.list}`);
  }

  rcpt({ recipient }) {
    if (!this.refused.has(recipient.domain)) return Verdict.next;
    return Verdict.reject(550, '5.7.1', `no mail for ${recipient.domain} here`);
  }

  message({ message }) {
    const count = this.#count();
    message.addHeader(this.header, count ? `message ${count}` : 'checked', { at: 0 });
    metrics.add('messages');
    return Verdict.next;
  }

  #lookUp(name) {
    try {
      const answer = lookup(name);
      if (answer.failed) log.warn(`no answer from ${this.list}`, { name, status: answer.status });
      return answer;
    } catch (error) {
      log.warn(`no answer from ${this.list}`, { name, error: error.message });
      return undefined;
    }
  }

  #count() {
    if (!this.store) return undefined;
    try {
      return new Store(this.store).add('messages');
    } catch (error) {
      log.warn('the message is not counted', { error: error.message });
      return undefined;
    }
  }
}
