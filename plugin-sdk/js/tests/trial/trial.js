// Reaches for everything, and tells in a header what came back; tests/gateway/languages_script.rs
// has the same of each language.

import { isWithin, log, metrics, SettingsError, Verdict } from './sdk/index.js';
import * as clock from './sdk/clock.js';
import * as dns from './sdk/dns.js';
import * as http from './sdk/http.js';
import * as kv from './sdk/kv.js';
import * as mailAuth from './sdk/mail-auth.js';
import * as random from './sdk/random.js';
import { wrong } from './wrong.js';

const reasonOf = (call) => {
  try {
    call();
    return 'none';
  } catch (error) {
    return error.reason;
  }
};

export default class Trial {
  constructor(settings) {
    console.log('made', settings);
    if (settings.mode === 'refuse') throw new SettingsError('mode: no such mode');
    if (settings.mode === 'draw') Math.random();
    if (settings.mode === 'throw') wrong();
    this.settings = settings;
    this.recipients = 0;
  }

  connect({ session }) {
    session.saveJson({ from: session.clientAddress });
    return Verdict.next;
  }

  helo({ session, name }) {
    session.setNote('helo', name);
    return Verdict.next;
  }

  mail({ transaction }) {
    transaction.score('TRIAL', 1.5);
    return Verdict.next;
  }

  async rcpt({ recipient }) {
    await undefined;
    this.recipients += 1;
    if (recipient.localPart === 'throws') wrong();
    if (recipient.localPart === 'undecided') return undefined;
    if (recipient.localPart === 'endless') for (;;);
    if (recipient.localPart === 'ungranted') new kv.Store('elsewhere');
    return Verdict.next;
  }

  message({ session, transaction, message }) {
    const body = message.readBody();
    const store = new kv.Store('store');
    store.delete('key');
    const version = store.put('key', 'värde', { ttl: 60, expect: 0 });
    const told = {
      address: session.loadJson().from,
      inside: isWithin(session.clientAddress, '127.0.0.0/8'),
      helo: session.note('trial.helo'),
      sender: transaction.sender,
      size: transaction.parameters.get('SIZE'),
      recipients: transaction.recipients.map((recipient) => `${recipient.index} ${recipient.address}`),
      counted: this.recipients,
      scores: transaction.scores,
      subject: message.header('subject'),
      nothing: message.headers('x-nothing').length,
      octets: message.size,
      found: body.find('needle'),
      digest: hex(body.sha256()),
      skipped: body.skip(2),
      body: body.text(),
      parts: message.parts.map((part) => [part.contentType, part.size, part.encoded, part.text()]),
      clock: Math.abs(clock.now() - Date.now()) < 60_000 && clock.monotonic() > 0n,
      random: random.bytes(3).length,
      drawn: Math.random(),
      dns: reasonOf(() => dns.lookup('a.example')),
      http: reasonOf(() => http.send({ url: 'https://a.example/' })),
      mailAuth: reasonOf(() => mailAuth.sender(session, transaction)),
      edit: reasonOf(() => transaction.setSender('b@example.org')),
      kv: store.getText('key'),
      conflict: reasonOf(() => store.put('key', 'x', { expect: version + 1n })),
      sum: [store.add('sum', 5), store.add('sum', -7)],
    };
    metrics.add('trials', 2, { kind: 'full' });
    metrics.observe('size', message.size);
    log.info('tried', { subject: told.subject });
    message.addHeader('X-Trial', JSON.stringify(told), { at: 0 });
    message.setHeader('Subject', 'changed');
    message.spliceBody(0, 2, 'II');
    return Verdict.next;
  }
}

const hex = (octets) =>
  [...octets.slice(0, 4)].map((octet) => octet.toString(16).padStart(2, '0')).join('');
