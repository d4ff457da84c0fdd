import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Authentication, GatewayError, SettingsError, Verdict } from '../sdk/index.js';
import { domainOf, ipVersion, isWithin, localPartOf, log, metrics, reversed } from '../sdk/index.js';
import { settings } from '../sdk/index.js';
import * as dns from '../sdk/dns.js';
import * as http from '../sdk/http.js';
import * as kv from '../sdk/kv.js';
import { Stream } from '../sdk/streams.js';
import * as mailAuth from '../sdk/mail-auth.js';
import * as upstreams from '../sdk/upstreams.js';
import { guest } from '../sdk/guest.js';
import {
  ask, configure, fakeCredentials, fakeGateway, fakeMessage, fakeRecipient, fakeSession,
  fakeTransaction,
} from '../sdk/testing.js';

const reason = (wanted) => (error) => error instanceof GatewayError && error.reason === wanted;

test('verdicts have the shape of the contract', () => {
  const reply = { code: 550, status: [5, 7, 1], text: 'no' };
  assert.deepEqual({ ...Verdict.reject(550, '5.7.1', 'no') }, { tag: 'reject', val: reply });
  assert.equal(Verdict.defer(451, 'later').val.status, undefined);
  assert.deepEqual({ ...Verdict.next }, { tag: 'next' });
  assert.equal(Verdict.discard('spam').val, 'spam');
  assert.equal(Authentication.authenticated('ann').val, 'ann');
  assert.throws(() => Verdict.reject(450, 'no'), /reject takes a code 5xx, not 450/);
  assert.throws(() => Verdict.defer(550, 'no'), /4xx/);
  assert.throws(() => Verdict.reject(550, 'nonsense', 'no'), /no enhanced status/);
});

test('addresses are taken apart', () => {
  assert.equal(domainOf('"a@b"@C.example'), 'c.example');
  assert.equal(domainOf('postmaster'), '');
  assert.equal(localPartOf('"a@b"@c.example'), '"a@b"');
  for (const [text, version] of [
    ['192.0.2.1', 4], ['256.0.0.1', undefined], ['2001:db8::1', 6], ['::', 6], ['::ffff:192.0.2.1', 6],
    ['1:2:3:4:5:6:7:8', 6], ['1:2:3:4:5:6:7', undefined], ['1::2::3', undefined], ['unix', undefined],
    ['1:2:3:4:5:6:7:8::', undefined], ['g::', undefined],
  ]) {
    assert.equal(ipVersion(text), version, text);
  }
  assert.equal(reversed('192.0.2.1'), '1.2.0.192');
  assert.match(reversed('2001:db8::1'), /^1\.0\.0\..*\.8\.b\.d\.0\.1\.0\.0\.2$/);
  assert.equal(reversed('unix'), undefined);
});

test('networks are compared by their bits', () => {
  for (const [address, network, within] of [
    ['10.1.2.3', '10.0.0.0/8', true], ['11.1.2.3', '10.0.0.0/8', false],
    ['192.0.2.127', '192.0.2.64/26', true], ['192.0.2.128', '192.0.2.64/26', false],
    ['192.0.2.1', '192.0.2.1', true], ['192.0.2.1', '0.0.0.0/0', true],
    ['2001:db8:1::1', '2001:db8::/32', true], ['192.0.2.1', '::/0', false], ['unix', '0.0.0.0/0', false],
  ]) {
    assert.equal(isWithin(address, network), within, `${address} ${network}`);
  }
  assert.throws(() => isWithin('192.0.2.1', '10.0.0.0/33'), /no network/);
});

test('settings are checked, and mistakes told with their place', () => {
  const shape = settings.object({
    names: settings.list(settings.string),
    limits: settings.optional(settings.map(settings.integer)),
    mode: settings.optional(settings.oneOf('a', 'b', 'c'), 'a'),
    inner: settings.optional(settings.object({ on: settings.boolean })),
  });
  assert.deepEqual(shape({ names: ['x'], limits: { y: 1 } }), {
    names: ['x'], limits: new Map([['y', 1]]), mode: 'a', inner: undefined,
  });
  for (const [given, told] of [
    [3, 'expected a mapping, found a number'],
    [{ names: 'x' }, 'names: expected a list, found a string'],
    [{ names: [], limits: { y: 1.5 } }, 'limits.y: expected a whole number, found a number'],
    [{ names: [], mode: 'd' }, 'mode: expected a, b or c'],
    [{ names: [], inner: { on: null } }, 'inner.on: expected true or false, found nothing'],
    [{ names: [], inner: { off: 1 } }, 'inner.off: unknown key, expected on'],
  ]) {
    assert.throws(() => shape(given), new SettingsError(told));
  }
});

test('manners are shown, and a reply is held back', () => {
  const session = fakeSession({ conduct: { 'early-talker': 1 } });
  assert.equal(session.conduct.get('early-talker'), 1);
  assert.equal(session.conduct.get('syntax-errors') ?? 0, 0);
  session.delay(2500);
  session.delay(1000);
  assert.equal(session.raw.delayed, 2500);
  assert.throws(() => session.delay(61_000), reason('out-of-range'));
});

test('a session keeps what is saved and noted', () => {
  const session = fakeSession({ saved: '{"a":1}', notes: { 'other.seen': 'yes' }, user: 'ann' });
  assert.deepEqual(session.loadJson(), { a: 1 });
  session.saveJson({ a: 2 });
  assert.deepEqual(session.loadJson(), { a: 2 });
  assert.equal(session.note('other.seen'), 'yes');
  session.setNote('mine', 'too');
  assert.equal(session.note('fake.mine'), 'too');
  assert.equal(session.user, 'ann');
  assert.equal(session.clientIpVersion, 4);
  assert.throws(() => session.save(new Uint8Array(70_000)), reason('out-of-range'));
});

test('edits of the envelope need their grants', () => {
  const plain = fakeTransaction({ sender: 'a@B.example', recipients: ['c@d.example'] });
  assert.equal(plain.senderDomain, 'b.example');
  assert.throws(() => plain.setSender(null), reason('denied'));
  assert.throws(() => plain.dropRecipient(1), reason('out-of-range'));
  plain.refuseRecipient(plain.recipients[0], 550, '5.1.1', 'gone');
  plain.score('HAM', -1);
  assert.deepEqual(plain.scores, [['HAM', -1]]);
  const transaction = fakeTransaction({ recipients: ['c@d.example'], grants: ['rewrite-envelope', 'route'] });
  assert.equal(transaction.addRecipient('e@f.example'), 1);
  assert.throws(() => transaction.addRecipient('nobody'), reason('malformed'));
  transaction.route('archive', transaction.recipients[0]);
  transaction.route('archive');
  assert.deepEqual(transaction.edits.slice(1), [['route', 'archive', 0], ['route', 'archive', undefined]]);
});

test('parameters are a map', () => {
  const recipient = fakeRecipient('a@b.example', { parameters: { NOTIFY: 'NEVER', X: '' } });
  assert.equal(recipient.parameters.get('NOTIFY'), 'NEVER');
  assert.equal(recipient.parameters.get('X'), '');
});

test('a message is read without holding it', () => {
  const message = fakeMessage('Subject: gr\u00fc\u00dfe\n to you\nsubject: 2\n\none two three\n');
  assert.equal(message.header('SUBJECT'), 'gr\u00fc\u00dfe to you');
  assert.deepEqual(message.headers('subject').length, 2);
  assert.equal(message.header('from'), undefined);
  const body = message.readBody();
  assert.equal(body.find('two'), 4);
  assert.equal(body.find('two', 5), undefined);
  assert.equal(body.skip(4), 4);
  assert.equal(new TextDecoder().decode(body.read(3)), 'two');
  assert.equal(body.sha256().length, 32);
  assert.equal(body.text(), ' three\r\n');
  assert.equal(message.read().bytes().length, message.size);
});

test('a message is edited at the places that were there', () => {
  const message = fakeMessage('A: 1\nB: 2\nA: 3\n\nbody\n', { grants: ['rewrite-headers', 'rewrite-body'] });
  message.addHeader('Top', '0', { at: 0 });
  message.addHeader('End', '9');
  message.setHeader('A', 'x', { nth: 1 });
  message.dropHeader('B');
  message.spliceBody(0, 0, 'no');
  assert.equal(message.edited, 'Top: 0\r\nA: 1\r\nA: x\r\nEnd: 9\r\n\r\nnobody\r\n');
  assert.throws(() => message.setHeader('B', 'x', { nth: 1 }), reason('out-of-range'));
  assert.throws(() => message.addHeader('X', 'a\r\nB: b'), reason('malformed'));
  const writer = message.replaceBody();
  writer.copy(message.readBody(), 2);
  writer.write('!\n');
  writer.finish();
  assert.deepEqual(message.edits.at(-1), ['replaceBody', 'bo!\r\n']);
});

test('parts are read as text', () => {
  const parts = [{ contentType: 'multipart/mixed' }, { content: 'gr\u00fc\u00df dich', parent: 0, fileName: 'a.txt' }];
  const [whole, part] = fakeMessage('\n', { parts }).parts;
  assert.ok(whole.isMultipart);
  assert.equal(whole.read(), undefined);
  assert.equal(part.text(), 'gr\u00fc\u00df dich');
  assert.equal(part.fileName, 'a.txt');
});

test('capabilities answer in the language\u2019s own words', () => {
  const gateway = fakeGateway({
    dns: { mx: { 'a.example': ['10 mx.example'] }, a: { 'slow.example': 'timed-out', 'bad.example': 'failed' } },
    stores: { counts: { a: '1' } },
    http: ({ url, body }) => ({ status: url.endsWith('/no') ? 404 : 200, body: `{"got":"${body}"}` }),
    upstreams: { store: { 'no@b.example': { code: 550, status: '5.1.1', text: 'no' } }, slow: 'timed-out' },
    states: { store: { available: 1, busy: 3 } },
    mailAuth: { sender: [{ method: 'spf', outcome: 'pass', properties: { 'smtp.mailfrom': 'a@b' } }] },
  });
  assert.deepEqual(dns.lookup('a.example.', 'mx').records, ['10 mx.example']);
  const answers = dns.lookupAll([{ name: 'slow.example', kind: 'a' }, { name: 'bad.example', kind: 'a' }, { name: 'no.example', kind: 'a' }]);
  assert.deepEqual(answers.map(({ failed }) => failed), [true, true, false]);
  const store = new kv.Store('counts');
  assert.equal(store.add('a', 2), 3);
  assert.equal(store.getText('a'), '3');
  assert.equal(store.get('b'), undefined);
  const version = store.put('b', 'x', { expect: 0 });
  assert.throws(() => store.put('b', 'y', { expect: 0 }), reason('conflict'));
  assert.throws(() => store.add('b'), reason('not-a-counter'));
  assert.equal(store.entries(['b'])[0].version, version);
  store.delete('a', 'b');
  assert.throws(() => new kv.Store('other'), reason('denied'));
  assert.deepEqual(http.send({ url: 'https://x.example/', method: 'POST', body: 'q' }).json(), { got: 'q' });
  assert.equal(http.sendAll([{ url: 'https://x.example/no' }])[0].ok, false);
  const said = upstreams.verifyAll('store', ['no@b.example', 'yes@b.example']);
  assert.deepEqual(said[0], { code: 550, status: '5.1.1', text: 'no' });
  assert.equal(said[1].code, 250);
  assert.throws(() => upstreams.verify('slow', 'a@b.example'), reason('timed-out'));
  assert.throws(() => upstreams.verify('other', 'a@b.example'), reason('denied'));
  assert.equal(upstreams.state('store').busy, 3);
  const found = mailAuth.sender(fakeSession(), fakeTransaction());
  assert.equal(found[0].properties.get('smtp.mailfrom'), 'a@b');
  assert.throws(() => mailAuth.content(fakeSession(), fakeTransaction(), fakeMessage()), reason('denied'));
  metrics.add('hits', 2, { kind: 'x' });
  metrics.observe('size', 3);
  log.warn('careful', { at: 3 });
  assert.deepEqual(gateway.counted, { 'hits{kind="x"}': 2 });
  assert.deepEqual(gateway.observed, { size: [3] });
  assert.deepEqual(gateway.logged, [{ level: 'warn', text: 'careful', fields: { at: '3' } }]);
});

class Porter {
  static settings = { users: settings.list(settings.string) };
  constructor({ users }) { this.users = users; }
  auth({ credentials }) {
    return this.users.includes(credentials.user) ? Authentication.authenticated(credentials.user) : Authentication.next;
  }
  mail() {}
}

test('an answer has to be given, and of the right kind', async () => {
  const porter = configure(Porter, { users: ['ann'] });
  const ann = Authentication.authenticated('ann');
  assert.deepEqual(await ask(porter, 'auth', { credentials: fakeCredentials('ann') }), ann);
  await assert.rejects(ask(porter, 'mail', {}), /mail returned undefined, not a Verdict such as Verdict.next/);
});

test('what is thrown is logged with its place, and settings are refused in words', async () => {
  const { console, Math: { random } } = globalThis;
  const logged = [];
  const fake = { enabled: () => true, write: (level, text) => logged.push([level, text]) };
  const { configure, hook } = guest(Porter, { log: fake });
  try {
    assert.throws(() => configure('{}'), (thrown) => thrown === 'users: missing');
    assert.deepEqual(configure('{"users":[]}'), { skip: [] });
    await assert.rejects(hook('mail')({}, {}));
    assert.match(logged[0][1], /^TypeError: mail returned undefined/);
  } finally {
    globalThis.console = console;
    assert.equal(Math.random, random);
  }
});

test('streams are answered and remembered', () => {
  const says = (heard) => (heard === '' ? undefined : 'PONG');
  const { streamed } = fakeGateway({ streams: { 'a:1': says } });
  assert.throws(() => new Stream('b:1'), reason('denied'));
  const stream = new Stream('a:1', { timeoutMs: 100 });
  assert.throws(() => stream.read(), reason('timed-out'));
  stream.write('PING');
  assert.equal(new TextDecoder().decode(stream.read(2)), 'PO');
  assert.equal(new TextDecoder().decode(stream.read()), 'NG');
  assert.equal(stream.read().length, 0);
  assert.deepEqual(streamed, [{ text: 'PING' }]);
  const large = fakeMessage(`Subject: x\r\n\r\n${'x'.repeat(2 << 20)}`);
  assert.equal(stream.writeContent(large.readBody()), 2 << 20, 'content may be larger than what is written at once');
  stream.close();
});
