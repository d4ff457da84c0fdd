// What a plugin sees. `helo`, `auth` and so on are methods of the class that the plugin's main
// module exports by default; `Plugin` has their types.

/** No opinion, yes, or a refusal. Replies are `code, 'status', 'text'`, or `code, 'text'`. */
export class Verdict {
  private constructor();
  readonly tag: 'next' | 'accept' | 'reject' | 'defer' | 'disconnect' | 'discard' | 'quarantine';
  /** No opinion: the next plugin is asked. */
  static readonly next: Verdict;
  /** Yes, and no later plugin is asked at this hook. */
  static readonly accept: Verdict;
  /** Permanent refusal, 5xx. */
  static reject(code: number, status: string, text: string): Verdict;
  static reject(code: number, text: string): Verdict;
  /** Temporary refusal, 4xx. */
  static defer(code: number, status: string, text: string): Verdict;
  static defer(code: number, text: string): Verdict;
  /** Answers 4xx or 5xx, then closes the connection. */
  static disconnect(code: number, status: string, text: string): Verdict;
  static disconnect(code: number, text: string): Verdict;
  /** Says yes to the client and delivers nothing; the reason is for the log. */
  static discard(reason: string): Verdict;
  /** Says yes to the client and delivers to the quarantine; the reason is for the log. */
  static quarantine(reason: string): Verdict;
}

/** What the hook `auth` answers. */
export class Authentication {
  private constructor();
  readonly tag: 'next' | 'authenticated' | 'refused' | 'unavailable';
  /** Not mine to tell: the next plugin is asked. */
  static readonly next: Authentication;
  static authenticated(identity: string): Authentication;
  /** It is not who it says to be; usually 535 5.7.8. */
  static refused(code: number, status: string, text: string): Authentication;
  static refused(code: number, text: string): Authentication;
  /** Nobody can tell now; usually 454 4.7.0. */
  static unavailable(code: number, status: string, text: string): Authentication;
  static unavailable(code: number, text: string): Authentication;
}

export interface TlsInfo {
  version: string;
  cipher: string;
  serverName?: string;
  /** The subject of the client's certificate, if that was verified. */
  clientSubject?: string;
}

/** What a trusted proxy said of the client (XFORWARD). */
export interface Forwarded {
  name?: string;
  address?: string;
  port?: number;
  protocol?: string;
  helo?: string;
  identity?: string;
  source?: string;
}

/** One connection of one client. */
export class Session {
  private constructor();
  /** Unique; the same in logs, replies and `Received`. */
  readonly id: string;
  readonly listener: string;
  /** An IP address; `unix` for a Unix socket, `unknown` where a proxy does not know. */
  readonly clientAddress: string;
  readonly clientIpVersion: 4 | 6 | undefined;
  readonly clientPort: number;
  /** The client's host name, where a trusted proxy said it. */
  readonly clientName: string | undefined;
  readonly helo: string | undefined;
  readonly esmtp: boolean;
  readonly tls: TlsInfo | undefined;
  readonly tlsAtProxy: boolean;
  /** The identity that AUTH established. */
  readonly user: string | undefined;
  readonly mechanism: string | undefined;
  readonly forwarded: Forwarded | undefined;
  /** What this plugin saved in this session. */
  load(): Uint8Array | undefined;
  /** At most 64 KiB. */
  save(state: Uint8Array | string): void;
  loadJson(): any;
  saveJson(value: unknown): void;
  /** What a plugin noted in this session, as `plugin.key`. */
  note(name: string): string | undefined;
  setNote(key: string, value: string): void;
  /** What the client has done so far against the manners of the protocol, and how often. */
  readonly conduct: Map<string, number>;
  /** Holds the reply of this step back, for at most 60,000 ms; the plugin does not run meanwhile. */
  delay(milliseconds: number): void;
}

/** Who a client says to be, at `auth`. */
export class Credentials {
  private constructor();
  readonly mechanism: string;
  readonly user: string;
  readonly authorization: string | undefined;
  /** With the grant `auth-secret`, and with mechanisms that reveal it. */
  readonly secret: string | undefined;
}

/** Somebody whom a mail is for. */
export class Recipient {
  private constructor();
  readonly index: number;
  readonly address: string;
  /** In small letters. */
  readonly domain: string;
  readonly localPart: string;
  /** Keywords in capitals; a keyword without a value has an empty one. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** One mail: its envelope. */
export class Transaction {
  private constructor();
  readonly id: string;
  /** Undefined is the null reverse-path `<>`. */
  readonly sender: string | undefined;
  /** In small letters; empty if there is none. */
  readonly senderDomain: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly recipients: Recipient[];
  /** All symbols so far, those of other plugins too. */
  readonly scores: [symbol: string, points: number][];
  setSender(address: string | null | undefined): void;
  /** Its index. From `data` on. */
  addRecipient(address: string): number;
  setRecipient(recipient: Recipient | number, address: string): void;
  dropRecipient(recipient: Recipient | number): void;
  /** Refuses one recipient after the message was seen. */
  refuseRecipient(recipient: Recipient | number, code: number, status: string, text: string): void;
  refuseRecipient(recipient: Recipient | number, code: number, text: string): void;
  /** Sends one recipient, or all, to a named upstream. */
  route(upstream: string, recipient?: Recipient | number): void;
  /** Adds to the score under the name of a symbol. */
  score(symbol: string, points: number): void;
}

/** The message: complete at `message`, its headers only at `headers`. */
export class Message {
  private constructor();
  readonly size: number;
  readonly headerSection: Uint8Array;
  /** The first value of this header, unfolded, as UTF-8. */
  header(name: string): string | undefined;
  headers(name: string): string[];
  headerBytes(name: string): Uint8Array[];
  /** The whole message. */
  read(): Reader;
  readBody(): Reader;
  /** The MIME parts, depth first, the message itself first; none at `headers`. */
  readonly parts: Part[];
  /** At the end, or after the first `at` headers; 0 is the top. */
  addHeader(name: string, value: string | Uint8Array, options?: { at?: number }): void;
  setHeader(name: string, value: string | Uint8Array, options?: { nth?: number }): void;
  dropHeader(name: string, options?: { nth?: number }): void;
  /** A writer for the new body, or the new body at once. */
  replaceBody(): Writer;
  replaceBody(content: string | Uint8Array): void;
  /** Replaces `length` octets of the body from `at` on. */
  spliceBody(at: number, length: number, content?: string | Uint8Array): void;
}

/** One part of a MIME message. */
export class Part {
  private constructor();
  readonly index: number;
  readonly parent: number | undefined;
  readonly contentType: string;
  readonly charset: string | undefined;
  readonly disposition: string | undefined;
  readonly fileName: string | undefined;
  /** Octets after decoding. */
  readonly size: number;
  /** Offset and length of its body in the message's body, for `spliceBody`. */
  readonly encoded: [offset: number, length: number] | undefined;
  readonly isMultipart: boolean;
  /** Its decoded content; undefined for a multipart. */
  read(): Reader | undefined;
  text(): string | undefined;
}

/** Content, read from its beginning to its end, chunk by chunk; the gateway holds it. */
export class Reader implements Iterable<Uint8Array> {
  private constructor();
  /** Empty is the end. Never more than 64 KiB. */
  read(max?: number): Uint8Array;
  [Symbol.iterator](): Iterator<Uint8Array>;
  /** All the rest. */
  bytes(): Uint8Array;
  text(): string;
  /** How many octets were skipped: fewer than asked at the end. */
  skip(count: number): number;
  /** Offset from here of the first occurrence; the gateway searches. */
  find(needle: string | Uint8Array, within?: number): number | undefined;
  /** Of the rest; the position stays where it is. */
  sha256(): Uint8Array;
  close(): void;
}

/** A new body. Without `finish` it is forgotten. */
export class Writer {
  private constructor();
  write(content: string | Uint8Array): void;
  /** Copies without passing through the plugin; the octets copied. */
  copy(reader: Reader, count?: number | bigint): number;
  finish(): void;
}

/** Facts after the event. */
export interface Outcome {
  session: string;
  transaction?: string;
  listener: string;
  clientAddress: string;
  /** `connect`, `helo`, `auth`, `mail`, `rcpt`, `message`, `delivery`, `disconnect`, or a later one. */
  stage: string;
  sender?: string;
  recipient?: string;
  /** The plugin that decided, or the upstream that answered. */
  by?: string;
  /** 0 where there was no reply. */
  code: number;
  text: string;
  /** Milliseconds since 1970. */
  time: number;
}

export type Hook =
  | 'connect' | 'helo' | 'auth' | 'mail' | 'rcpt' | 'data' | 'headers' | 'message' | 'outcome';

type Answer<A> = A | Promise<A>;
type AtEnvelope = { session: Session; transaction: Transaction };
type AtContent = AtEnvelope & { message: Message };

/** The methods that a plugin may have: `class Mine implements Plugin`. Each sees what it takes. */
export interface Plugin {
  connect?(at: { session: Session }): Answer<Verdict>;
  helo?(at: { session: Session; name: string }): Answer<Verdict>;
  auth?(at: { session: Session; credentials: Credentials }): Answer<Authentication>;
  mail?(at: AtEnvelope): Answer<Verdict>;
  rcpt?(at: AtEnvelope & { recipient: Recipient }): Answer<Verdict>;
  data?(at: AtEnvelope): Answer<Verdict>;
  headers?(at: AtContent): Answer<Verdict>;
  message?(at: AtContent): Answer<Verdict>;
  outcome?(at: { events: Outcome[] }): Answer<void>;
  /** The hooks that these settings do not need. They cost nothing then. */
  skip?(): Hook[];
}

/** The gateway did not do what it was asked to. */
export class GatewayError extends Error {
  /** What was asked, for example `message.addHeader`. */
  readonly call: string;
  /** As in the contract, for example `denied`. */
  readonly reason: string;
  readonly detail: string | undefined;
}

/** The operator's mistake; the text is what the operator reads. */
export class SettingsError extends Error {
  constructor(message: string);
}

/** The domain of a mail address in small letters; empty if it has none. */
export function domainOf(address: string): string;
/** What is before the last @. */
export function localPartOf(address: string): string;
/** Undefined for what is no IP address. */
export function ipVersion(text: string): 4 | 6 | undefined;
/** Whether an IP address is in a network such as `10.0.0.0/8`, or is this very address. */
export function isWithin(address: string, network: string): boolean;
/** An IP address turned round for DNS lists. Undefined for others. */
export function reversed(address: string): string | undefined;

export * as log from './log.js';
export * as metrics from './metrics.js';
export * as settings from './settings.js';
