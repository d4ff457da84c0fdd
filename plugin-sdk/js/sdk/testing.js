// Fakes of all that the gateway gives to a plugin, for tests without wasm. They speak the contract,
// so that what is tested goes through the same code as in the gateway.

import { createHash } from 'node:crypto';

import { Credentials, Recipient, Session, Transaction } from './envelope.js';
import { Message } from './content.js';
import { checked, make, skippedBy } from './guest.js';
import { bytes, offer } from './host.js';

const text = (octets) => new TextDecoder().decode(octets);

/** What the contract answers as an error. */
function fail(payload) {
  throw Object.assign(new Error('an error of the contract'), { payload });
}

const must = (condition, payload) => condition || fail(payload);

/** Makes a plugin as the gateway does: JSON in, and the operator's error out. */
export function configure(Plugin, settings = {}) {
  const plugin = make(Plugin, JSON.parse(JSON.stringify(settings)));
  skippedBy(plugin);
  return plugin;
}

/** Asks a hook as the gateway does: an answer that it may not give is an error. */
export const ask = async (plugin, hook, given) => checked(hook, await plugin[hook](given));

/**
 * What log, metrics, clock, random, dns, kv, http, streams, upstreams and mail-auth answer from now on, and what was
 * logged and counted.
 */
export function fakeGateway({ dns = {}, stores = {}, http, streams = {}, upstreams = {}, states = {}, mailAuth = {}, now = 0 } = {}) {
  const gateway = { streamed: [], logged: [], counted: {}, observed: {}, stores: {}, now };
  for (const [name, entries] of Object.entries(stores)) {
    gateway.stores[name] = new Map(
      Object.entries(entries).map(([key, value]) => [key, { value: bytes(value), version: 1n }]),
    );
  }
  offer({
    log: fakeLog(gateway),
    metrics: fakeMetrics(gateway),
    clock: { now: () => BigInt(gateway.now), monotonic: () => BigInt(gateway.now) * 1_000_000n },
    random: { bytes: (count) => crypto.getRandomValues(new Uint8Array(count)) },
    dns: { lookup: (queries) => queries.map((query) => dnsAnswer(dns, query)) },
    kv: { Store: { open: (name) => new FakeStore(gateway.stores[name] ?? fail({ tag: 'denied' })) } },
    http: fakeHttp(http),
    streams: { Connection: { open: (address) => new FakeStream(streams[address] ?? fail({ tag: 'denied' }), gateway) } },
    upstreams: fakeUpstreams(upstreams, states),
    'mail-auth': fakeMailAuth(mailAuth),
  });
  return gateway;
}

const fakeLog = (gateway) => ({
  enabled: () => true,
  write(level, line, fields) {
    gateway.logged.push({ level, text: line, fields: Object.fromEntries(fields) });
  },
});

const fakeMetrics = ({ counted, observed }) => ({
  add(name, by, label) {
    const key = label ? `${name}{${label[0]}="${label[1]}"}` : name;
    counted[key] = (counted[key] ?? 0) + Number(by);
  },
  observe(name, value) {
    (observed[name] ??= []).push(value);
  },
});

function dnsAnswer(known, { name, kind }) {
  const found = known[kind]?.[name.replace(/\.$/, '')] ?? 'no-such-name';
  if (Array.isArray(found)) return { tag: 'records', val: found };
  return found === 'failed' ? { tag: found, val: 'a fake failure' } : { tag: found };
}

class FakeStore {
  #entries;

  constructor(entries) {
    this.#entries = entries;
  }

  get(keys) {
    return keys.map((key) => this.#entries.get(key));
  }

  put(key, value, _ttl, expect) {
    must(value.length <= 65536, { tag: 'too-large' });
    const before = this.#entries.get(key)?.version ?? 0n;
    must(expect === undefined || expect === before, { tag: 'conflict' });
    this.#entries.set(key, { value, version: before + 1n });
    return before + 1n;
  }

  add(key, by) {
    const { value, version } = this.#entries.get(key) ?? { value: bytes('0'), version: 0n };
    must(/^-?\d+$/.test(text(value)), { tag: 'not-a-counter' });
    const sum = BigInt(text(value)) + by;
    this.#entries.set(key, { value: bytes(`${sum}`), version: version + 1n });
    return sum;
  }

  delete(keys) {
    for (const key of keys) this.#entries.delete(key);
  }
}

function fakeUpstreams(known, states) {
  const failure = (tag) => (tag === 'unavailable' ? { tag, val: 'a fake failure' } : { tag });
  return {
    verify(upstream, _, recipients) {
      const answers = known[upstream] ?? 'denied';
      if (typeof answers === 'string') fail(failure(answers));
      must(recipients.length <= 100, { tag: 'too-many' });
      return recipients.map((one) => {
        const { code, status, text } = answers[one] ?? { code: 250, status: '2.1.5', text: 'ok' };
        return { code, status: status ? status.split('.').map(Number) : undefined, text };
      });
    },
    state: (upstream) => Object.entries(states[upstream] ?? fail(failure('denied')))
      .map(([name, number]) => [name, BigInt(number)]),
  };
}

function fakeHttp(answer) {
  const send = (request) => {
    if (!answer) return { tag: 'err', val: { tag: 'denied' } };
    const { status = 200, headers = {}, body = '' } = answer({ ...request, body: text(request.body) });
    const all = Object.entries(headers).map(([name, value]) => [name, bytes(value)]);
    return { tag: 'ok', val: { status, headers: all, body: bytes(body) } };
  };
  return {
    send: (requests) => requests.map(send),
    sendContent(request, reader) {
      const { tag, val } = send({ ...request, body: reader.rest() });
      return tag === 'ok' ? val : fail(val);
    },
  };
}

class FakeStream {
  #says;
  #heard;
  #read = 0;

  constructor(says, gateway) {
    this.#says = says;
    this.#heard = { text: '' };
    gateway.streamed.push(this.#heard);
  }

  write(octets) {
    must(octets.length <= 1 << 20, { tag: 'too-many' });
    this.#heard.text += text(octets);
  }

  writeContent(reader, max) {
    const octets = reader.read(Number(max));
    this.#heard.text += text(octets);
    return BigInt(octets.length);
  }

  read(max) {
    const said = this.#says(this.#heard.text);
    if (said === undefined) fail({ tag: 'timed-out' });
    const piece = bytes(said).slice(this.#read, this.#read + max);
    this.#read += piece.length;
    return piece;
  }
}

function fakeMailAuth({ sender, content }) {
  const findings = (found) =>
    (found ?? fail('denied')).map(({ method, outcome, reason, properties = {} }) => (
      { method, outcome, reason, properties: Object.entries(properties) }));
  return { sender: () => findings(sender), content: () => findings(content) };
}

/** A session; what is not said is plain: 192.0.2.1, in clear text, nobody logged in. */
export function fakeSession(facts = {}) {
  const known = {
    id: 'fake-session', listener: 'mx', clientAddress: '192.0.2.1', clientPort: 50000,
    esmtp: true, tlsAtProxy: false, helo: 'client.example', ...facts,
  };
  const notes = new Map(Object.entries(known.notes ?? {}));
  let saved = known.saved && bytes(known.saved);
  const names = ['id', 'listener', 'clientAddress', 'clientPort', 'clientName', 'helo', 'esmtp',
    'tls', 'tlsAtProxy', 'user', 'mechanism', 'forwarded'];
  const raw = Object.fromEntries(names.map((name) => [name, () => known[name]]));
  return new Session(Object.assign(raw, {
    load: () => saved,
    save(state) {
      must(state.length <= 65536, 'out-of-range');
      saved = state;
    },
    note: (name) => notes.get(name),
    setNote(key, value) {
      must(bytes(value).length <= 1024, 'out-of-range');
      notes.set(`fake.${key}`, value);
    },
    conduct: () => Object.entries(known.conduct ?? {}),
    delayed: 0,
    delay(milliseconds) {
      must(milliseconds >= 0 && milliseconds <= 60_000, 'out-of-range');
      this.delayed = Math.max(this.delayed, milliseconds);
    },
  }));
}

/** What a client says at `auth`. */
export const fakeCredentials = (user, { mechanism = 'PLAIN', authorization, secret } = {}) =>
  new Credentials({ mechanism, user, authorization, secret });

const parameters = (given = {}) =>
  Object.entries(given).map(([keyword, value]) => ({ keyword, value: value || undefined }));

/** A recipient. */
export const fakeRecipient = (address, { index = 0, parameters: given } = {}) =>
  new Recipient({ index, address, parameters: parameters(given) });

const isAddress = (address) => /^[^@\s]+@[^@\s]+$/.test(address);

/** A mail; `edits` tells what was changed. Grants: `rewrite-envelope`, `route`. */
export function fakeTransaction({ sender, recipients = [], parameters: given, grants = [], id } = {}) {
  const edits = [];
  const scores = new Map();
  const there = recipients.map((address, index) => ({ index, address, parameters: [] }));
  const edit = (grant, ...what) => {
    must(grants.includes(grant), 'denied');
    edits.push(what);
  };
  const known = (index) => must(index < there.length, 'out-of-range');
  const well = (address) => must(isAddress(address), 'malformed');
  const raw = {
    id: () => id ?? 'fake-session.1',
    sender: () => sender,
    parameters: () => parameters(given),
    recipients: () => there,
    setSender: (address) => (address === undefined || well(address)) && edit('rewrite-envelope', 'setSender', address),
    addRecipient(address) {
      well(address);
      edit('rewrite-envelope', 'addRecipient', address);
      return there.length + edits.filter(([name]) => name === 'addRecipient').length - 1;
    },
    setRecipient: (index, address) => known(index) && well(address) && edit('rewrite-envelope', 'setRecipient', index, address),
    dropRecipient: (index) => known(index) && edit('rewrite-envelope', 'dropRecipient', index),
    refuseRecipient: (index, reply) => known(index) && edits.push(['refuseRecipient', index, reply]),
    route: (upstream, index) => edit('route', 'route', upstream, index),
    score(symbol, points) {
      must(/^[A-Za-z0-9_.-]{1,64}$/.test(symbol), 'malformed');
      must(Number.isFinite(points) && Math.abs(points) <= 10_000, 'out-of-range');
      scores.set(symbol, points);
    },
    scores: () => [...scores],
  };
  return Object.assign(new Transaction(raw), { edits });
}

class FakeReader {
  constructor(octets) {
    this.octets = octets;
    this.at = 0;
  }

  rest() {
    return this.octets.subarray(this.at);
  }

  read(max) {
    const chunk = this.rest().slice(0, max);
    this.at += chunk.length;
    return chunk;
  }

  skip(count) {
    const skipped = Math.min(Number(count), this.rest().length);
    this.at += skipped;
    return BigInt(skipped);
  }

  find(needle, within) {
    const at = Buffer.from(this.rest()).indexOf(needle);
    return at < 0 || at + needle.length > Number(within) ? undefined : BigInt(at);
  }

  sha256() {
    return new Uint8Array(createHash('sha256').update(this.rest()).digest());
  }
}

const crlf = (octets) => Buffer.from(octets).toString('latin1').replace(/\r\n|\r|\n/g, '\r\n');

/**
 * A message. Lines may end with LF. Grants: `rewrite-headers`, `rewrite-body`. Parts are given as
 * `{ contentType, content, fileName, … }`; the fake does not look for them itself.
 */
export function fakeMessage(content = '\n', { grants = [], parts = [] } = {}) {
  const fake = new FakeMessage(crlf(bytes(content)), grants, parts);
  const message = new Message(fake);
  return Object.defineProperties(message, {
    edits: { get: () => fake.edits },
    edited: { get: () => Buffer.from(fake.edited(), 'latin1').toString('utf8') },
  });
}

class FakeMessage {
  constructor(content, grants, parts) {
    const end = content.startsWith('\r\n') ? 0 : content.indexOf('\r\n\r\n') + 2;
    this.section = end === 1 ? content : content.slice(0, end);
    this.body = end === 1 ? '' : content.slice(end + 2);
    const fields = this.section.match(/[^\r]+(\r\n[ \t][^\r]*)*\r\n/g) ?? [];
    this.fields = fields.map((line) => ({ line }));
    this.grants = grants;
    this.given = parts;
    this.edits = [];
  }

  #edit(grant, ...what) {
    must(this.grants.includes(grant), 'denied');
    this.edits.push(what);
  }

  #named(name) {
    const wanted = `${name.toLowerCase()}:`;
    return this.fields.filter(({ line }) => line.toLowerCase().startsWith(wanted));
  }

  size() { return BigInt(this.section.length + 2 + this.body.length); }
  headerSection() { return Buffer.from(this.section, 'latin1'); }
  readAll() { return this.#reader(`${this.section}\r\n${this.body}`); }
  readBody() { return this.#reader(this.body); }
  #reader(content) { return new FakeReader(new Uint8Array(Buffer.from(content, 'latin1'))); }

  header(name) {
    const value = ({ line }) => line.slice(line.indexOf(':') + 1).replace(/\r\n/g, '').trim();
    return this.#named(name).map((field) => new Uint8Array(Buffer.from(value(field), 'latin1')));
  }

  parts() {
    return this.given.map(({ contentType = 'text/plain', content, ...rest }, index) => (
      { index, contentType, size: BigInt(content === undefined ? 0 : bytes(content).length), ...rest }));
  }

  readPart(index) {
    const content = this.given[index]?.content;
    return content === undefined ? undefined : new FakeReader(bytes(content));
  }

  addHeader(at, name, value) {
    must(/^[!-9;-~]+$/.test(name) && !/[\r\n\0]/.test(text(value)), 'malformed');
    must(at === undefined || at <= this.fields.length, 'out-of-range');
    this.#edit('rewrite-headers', 'addHeader', at, name, text(value));
  }

  setHeader(name, nth, value) {
    must(nth < this.#named(name).length, 'out-of-range');
    must(!/[\r\n\0]/.test(text(value)), 'malformed');
    this.#edit('rewrite-headers', 'setHeader', name, nth, text(value));
  }

  dropHeader(name, nth) {
    must(nth < this.#named(name).length, 'out-of-range');
    this.#edit('rewrite-headers', 'dropHeader', name, nth);
  }

  replaceBody() {
    must(this.grants.includes('rewrite-body'), 'denied');
    let written = '';
    return {
      write: (chunk) => { written += Buffer.from(chunk).toString('latin1'); },
      copy(reader, count) {
        const chunk = reader.read(Math.min(Number(count), Number.MAX_SAFE_INTEGER));
        written += Buffer.from(chunk).toString('latin1');
        return BigInt(chunk.length);
      },
      finish: () => this.#edit('rewrite-body', 'replaceBody', crlf(Buffer.from(written, 'latin1'))),
    };
  }

  spliceBody(at, length, content) {
    must(Number(at + length) <= this.body.length, 'out-of-range');
    this.#edit('rewrite-body', 'spliceBody', Number(at), Number(length), crlf(content));
  }

  /** The message with its edits, in Latin-1. */
  edited() {
    const octets = (value) => Buffer.from(value, 'utf8').toString('latin1');
    const kept = new Map(this.fields.map((field) => [field, field.line]));
    const added = [];
    let body = this.body;
    const splices = [];
    for (const [what, ...rest] of this.edits) {
      if (what === 'addHeader') added.push(rest);
      else if (what === 'setHeader') {
        const field = this.#named(rest[0])[rest[1]];
        const name = field.line.slice(0, field.line.indexOf(':'));
        kept.set(field, `${name}: ${octets(rest[2])}\r\n`);
      } else if (what === 'dropHeader') kept.set(this.#named(rest[0])[rest[1]], '');
      else if (what === 'replaceBody') [body] = rest;
      else splices.push(rest);
    }
    for (const [at, length, content] of splices.sort(([a], [b]) => b - a)) {
      body = body.slice(0, at) + content + body.slice(at + length);
    }
    const at = (place) => added
      .filter(([where]) => (where ?? this.fields.length) === place)
      .map(([, name, value]) => `${name}: ${octets(value)}\r\n`)
      .join('');
    const fields = this.fields.map((field, place) => at(place) + kept.get(field)).join('');
    return `${fields}${at(this.fields.length)}\r\n${body}`;
  }
}
