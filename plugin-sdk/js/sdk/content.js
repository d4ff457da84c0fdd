import { ask, bytes } from './host.js';

const text = (octets) => new TextDecoder().decode(octets);
const EVERYTHING = (1n << 64n) - 1n;
const CHUNK = 65536;

/** The message: complete at `message`, its headers only at `headers`. */
export class Message {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  /** The contract's own resource. */
  get raw() { return this.#raw; }

  get size() { return Number(this.#raw.size()); }
  get headerSection() { return this.#raw.headerSection(); }

  header(name) {
    return this.headers(name)[0];
  }

  headers(name) {
    return this.headerBytes(name).map(text);
  }

  headerBytes(name) {
    return this.#raw.header(name);
  }

  read() {
    return new Reader(this.#raw.readAll());
  }

  readBody() {
    return new Reader(this.#raw.readBody());
  }

  get parts() {
    return this.#raw.parts().map((part) => new Part(part, this.#raw));
  }

  addHeader(name, value, { at } = {}) {
    ask('message.addHeader', () => this.#raw.addHeader(at, name, bytes(value)));
  }

  setHeader(name, value, { nth = 0 } = {}) {
    ask('message.setHeader', () => this.#raw.setHeader(name, nth, bytes(value)));
  }

  dropHeader(name, { nth = 0 } = {}) {
    ask('message.dropHeader', () => this.#raw.dropHeader(name, nth));
  }

  replaceBody(content) {
    const writer = new Writer(ask('message.replaceBody', () => this.#raw.replaceBody()));
    if (content === undefined) return writer;
    writer.write(content);
    writer.finish();
    return undefined;
  }

  spliceBody(at, length, content = '') {
    const splice = () => this.#raw.spliceBody(BigInt(at), BigInt(length), bytes(content));
    ask('message.spliceBody', splice);
  }
}

/** One part of a MIME message. */
export class Part {
  #message;

  constructor(part, message) {
    this.#message = message;
    this.index = part.index;
    this.parent = part.parent;
    this.contentType = part.contentType;
    this.charset = part.charset;
    this.disposition = part.disposition;
    this.fileName = part.fileName;
    this.size = Number(part.size);
    this.encoded = part.encoded?.map(Number);
  }

  get isMultipart() { return this.contentType.startsWith('multipart/'); }

  read() {
    const raw = this.#message.readPart(this.index);
    return raw && new Reader(raw);
  }

  text() {
    return this.read()?.text();
  }
}

/** Content, read from its beginning to its end; the gateway holds it. */
export class Reader {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  /** The contract's own resource. */
  get raw() { return this.#raw; }

  read(max = CHUNK) {
    return this.#raw.read(Math.min(max, CHUNK));
  }

  *[Symbol.iterator]() {
    for (let chunk = this.read(); chunk.length > 0; chunk = this.read()) yield chunk;
  }

  bytes() {
    const chunks = [...this];
    const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    this.close();
    return all;
  }

  text() {
    return text(this.bytes());
  }

  skip(count) {
    return Number(this.#raw.skip(BigInt(count)));
  }

  find(needle, within) {
    const limit = within === undefined ? EVERYTHING : BigInt(within);
    const at = this.#raw.find(bytes(needle), limit);
    return at === undefined ? undefined : Number(at);
  }

  sha256() {
    return this.#raw.sha256();
  }

  close() {
    this.#raw[Symbol.dispose ?? Symbol.for('dispose')]?.();
  }
}

/** A new body that is being written. */
export class Writer {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  write(content) {
    const octets = bytes(content);
    for (let at = 0; at < octets.length; at += CHUNK) {
      ask('writer.write', () => this.#raw.write(octets.subarray(at, at + CHUNK)));
    }
  }

  copy(reader, count = EVERYTHING) {
    return Number(ask('writer.copy', () => this.#raw.copy(reader.raw, BigInt(count))));
  }

  finish() {
    ask('writer.finish', () => this.#raw.finish());
  }
}
