import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SettingsError, Verdict } from './sdk/index.js';
import { configure, fakeGateway, fakeMessage, fakeRecipient, fakeSession } from './sdk/testing.js';
import Gatekeeper from './gatekeeper.js';

const gatekeeper = (settings) => configure(Gatekeeper, { refuse: ['Closed.example'], ...settings });
const grants = ['rewrite-headers'];

test('mail for a refused domain is refused, whatever its case', () => {
  const refused = Verdict.reject(550, '5.7.1', 'no mail for closed.example here');
  assert.deepEqual(gatekeeper().rcpt({ recipient: fakeRecipient('a@CLOSED.example') }), refused);
  assert.equal(gatekeeper().rcpt({ recipient: fakeRecipient('a@open.example') }), Verdict.next);
});

test('who is on the list may not connect', () => {
  const records = { '2.2.0.192.list.example': ['127.0.0.2'], '3.2.0.192.list.example': 'timed-out' };
  const gateway = fakeGateway({ dns: { a: records } });
  const listed = gatekeeper({ list: 'list.example' });
  const answer = (clientAddress) => listed.connect({ session: fakeSession({ clientAddress }) });
  const refused = Verdict.reject(554, '5.7.1', '192.0.2.2 is listed by list.example');
  assert.deepEqual(answer('192.0.2.2'), refused);
  assert.equal(answer('192.0.2.1'), Verdict.next);
  assert.equal(answer('2001:db8::1'), Verdict.next);
  assert.deepEqual(gateway.logged, []);
  assert.equal(answer('192.0.2.3'), Verdict.next);
  assert.equal(gateway.logged[0].level, 'warn');
});

test('messages are counted and stamped', () => {
  const gateway = fakeGateway({ stores: { counters: {} } });
  const plugin = gatekeeper({ store: 'counters', header: 'X-Seen' });
  for (const count of [1, 2]) {
    const message = fakeMessage('Subject: a\n\nbody\n', { grants });
    assert.equal(plugin.message({ message }), Verdict.next);
    assert.equal(message.edited, `X-Seen: message ${count}\r\nSubject: a\r\n\r\nbody\r\n`);
  }
  assert.deepEqual(gateway.counted, { messages: 2 });
});

test('without a store, or without an answer from it, the message was checked', () => {
  fakeGateway();
  for (const settings of [{}, { store: 'elsewhere' }]) {
    const message = fakeMessage('Subject: a\n\nbody\n', { grants });
    gatekeeper(settings).message({ message });
    assert.deepEqual(message.edits, [['addHeader', 0, 'X-Gatekeeper', 'checked']]);
  }
});

test('mistakes in the settings are told in plain words', () => {
  for (const [settings, told] of [
    [{}, 'refuse: missing'],
    [{ refuse: [3] }, 'refuse[0]: expected a string, found a number'],
    [{ refuse: [], lits: 'x' }, 'lits: unknown key, expected refuse, list, store or header'],
  ]) {
    assert.throws(() => configure(Gatekeeper, settings), new SettingsError(told));
  }
});
