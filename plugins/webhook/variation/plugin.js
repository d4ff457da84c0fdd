import { log, metrics, settings, Verdict } from './sdk/index.js';
import { send } from './sdk/http.js';

/** Asks a service whether there is such a recipient: {"known": true, "alias": "ann@example.org"}. */
export default class Variation {
  static settings = {
    url: settings.string,
    token: settings.optional(settings.string),
    timeout: settings.optional(settings.number, 2),
  };

  constructor({ url, token, timeout }) {
    if (!/^https?:\/\/[^ ]+$/.test(url)) throw new Error('url: as in https://users.example.org/known');
    this.url = url;
    this.timeoutMs = timeout * 1000;
    this.headers = { 'Content-Type': 'application/json' };
    if (token) this.headers.Authorization = `Bearer ${token}`;
  }

  rcpt({ session, transaction, recipient }) {
    if (session.user) return Verdict.next;
    let said;
    try {
      said = this.#ask({ recipient: recipient.address, sender: transaction.sender, client: session.clientAddress });
    } catch (error) {
      // Who is not known to be unknown may come again.
      log.warn('the service does not answer', { error: error.message });
      return Verdict.defer(451, '4.3.0', 'cannot tell now, try again later');
    }
    if (!said.known) {
      metrics.add('unknown', 1);
      return Verdict.reject(550, '5.1.1', 'no such user here');
    }
    if (typeof said.alias === 'string') transaction.setRecipient(recipient.index, said.alias);
    return Verdict.next;
  }

  #ask(question) {
    const { url, headers, timeoutMs } = this;
    const response = send({ method: 'POST', url, headers, timeoutMs, body: JSON.stringify(question) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const said = response.json();
    if (typeof said?.known !== 'boolean') throw new Error('not the answer that was asked for');
    return said;
  }
}
