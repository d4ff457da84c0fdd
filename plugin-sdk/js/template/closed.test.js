import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SettingsError, Verdict } from './sdk/index.js';
import { configure, fakeRecipient } from './sdk/testing.js';
import Closed from './closed.js';

test('closed domains are refused', () => {
  const closed = configure(Closed, { domains: ['closed.example'] });
  for (const [address, verdict] of [
    ['a@Closed.example', Verdict.reject(550, '5.7.1', 'closed for good')],
    ['a@open.example', Verdict.next],
  ]) {
    assert.deepEqual(closed.rcpt({ recipient: fakeRecipient(address) }), verdict, address);
  }
});

test('misspelt settings are found', () => {
  const mistake = new SettingsError('domain: unknown key, expected domains');
  assert.throws(() => configure(Closed, { domain: [] }), mistake);
});
