import { ask, bytes } from './host.js';
import { domainOf, ipVersion, localPartOf } from './address.js';
import { refusal } from './verdict.js';

const named = (parameters) => new Map(parameters.map(({ keyword, value }) => [keyword, value ?? '']));

/** One connection of one client. */
export class Session {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  /** The contract's own resource. */
  get raw() { return this.#raw; }

  get id() { return this.#raw.id(); }
  get listener() { return this.#raw.listener(); }
  get clientAddress() { return this.#raw.clientAddress(); }
  get clientIpVersion() { return ipVersion(this.clientAddress); }
  get clientPort() { return this.#raw.clientPort(); }
  get clientName() { return this.#raw.clientName(); }
  get helo() { return this.#raw.helo(); }
  get esmtp() { return this.#raw.esmtp(); }
  get tls() { return this.#raw.tls(); }
  get tlsAtProxy() { return this.#raw.tlsAtProxy(); }
  get user() { return this.#raw.user(); }
  get mechanism() { return this.#raw.mechanism(); }
  get forwarded() { return this.#raw.forwarded(); }

  load() {
    return this.#raw.load();
  }

  save(state) {
    ask('session.save', () => this.#raw.save(bytes(state)));
  }

  loadJson() {
    const saved = this.load();
    return saved && JSON.parse(new TextDecoder().decode(saved));
  }

  saveJson(value) {
    this.save(JSON.stringify(value));
  }

  note(name) {
    return this.#raw.note(name);
  }

  setNote(key, value) {
    ask('session.setNote', () => this.#raw.setNote(key, value));
  }

  get conduct() { return new Map(this.#raw.conduct()); }

  delay(milliseconds) {
    ask('session.delay', () => this.#raw.delay(milliseconds));
  }
}

/** Who a client says to be, at `auth`. */
export class Credentials {
  constructor({ mechanism, user, authorization, secret }) {
    this.mechanism = mechanism;
    this.user = user;
    this.authorization = authorization;
    this.secret = secret;
  }
}

/** Somebody whom a mail is for. */
export class Recipient {
  constructor({ index, address, parameters }) {
    this.index = index;
    this.address = address;
    this.parameters = named(parameters);
  }

  get domain() { return domainOf(this.address); }
  get localPart() { return localPartOf(this.address); }
}

const indexOf = (recipient) => (typeof recipient === 'number' ? recipient : recipient.index);

/** One mail: its envelope. */
export class Transaction {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  /** The contract's own resource. */
  get raw() { return this.#raw; }

  get id() { return this.#raw.id(); }
  get sender() { return this.#raw.sender(); }
  get senderDomain() { return domainOf(this.sender ?? ''); }
  get parameters() { return named(this.#raw.parameters()); }
  get recipients() { return this.#raw.recipients().map((raw) => new Recipient(raw)); }
  get scores() { return this.#raw.scores(); }

  setSender(address) {
    ask('transaction.setSender', () => this.#raw.setSender(address ?? undefined));
  }

  addRecipient(address) {
    return ask('transaction.addRecipient', () => this.#raw.addRecipient(address));
  }

  setRecipient(recipient, address) {
    ask('transaction.setRecipient', () => this.#raw.setRecipient(indexOf(recipient), address));
  }

  dropRecipient(recipient) {
    ask('transaction.dropRecipient', () => this.#raw.dropRecipient(indexOf(recipient)));
  }

  refuseRecipient(recipient, code, status, text) {
    const answer = refusal(code, status, text);
    ask('transaction.refuseRecipient', () => this.#raw.refuseRecipient(indexOf(recipient), answer));
  }

  route(upstream, recipient) {
    const index = recipient === undefined ? undefined : indexOf(recipient);
    ask('transaction.route', () => this.#raw.route(upstream, index));
  }

  score(symbol, points) {
    ask('transaction.score', () => this.#raw.score(symbol, points));
  }
}
