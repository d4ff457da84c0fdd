import type {
  Authentication, Credentials, Hook, Message, Recipient, Session, TlsInfo, Transaction, Verdict,
  Forwarded,
} from './index.js';
import type { Kind } from './dns.js';
import type { UpstreamReply } from './upstreams.js';

type Records = string[] | 'no-such-name' | 'no-data' | 'failed' | 'timed-out';
type Found = {
  method: string;
  outcome: string;
  reason?: string;
  properties?: Record<string, string>;
};
type Edit = [name: string, ...what: any[]];

/** Makes a plugin as the gateway does: JSON in, and the operator's error out. */
export function configure<P>(Plugin: new (settings: any) => P, settings?: unknown): P;

/** Asks a hook as the gateway does: an answer that it may not give is an error. */
export function ask(
  plugin: object,
  hook: Hook,
  given: object,
): Promise<Verdict | Authentication | undefined>;

export interface FakeGateway {
  logged: { level: string; text: string; fields: Record<string, string> }[];
  /** What each stream was told. */
  streamed: { text: string }[];
  /** Sums by name, or by `name{label="value"}`. */
  counted: Record<string, number>;
  observed: Record<string, number[]>;
  stores: Record<string, Map<string, { value: Uint8Array; version: bigint }>>;
  now: number;
}

/** What log, metrics, clock, random, dns, kv, http, streams, upstreams and mail-auth answer from now on. */
export function fakeGateway(options?: {
  /** Names by kind; other names do not exist. */
  dns?: Partial<Record<Kind, Record<string, Records>>>;
  /** The stores that are granted, with what is in them. */
  stores?: Record<string, Record<string, string | Uint8Array>>;
  /** What a server answers. */
  http?: (request: { method: string; url: string; body: string }) => {
    status?: number;
    headers?: Record<string, string>;
    body?: string | Uint8Array;
  };
  /**
   * What the services at these addresses have said in all, once they have heard so much in one stream; undefined
   * is a time-out. What they heard is in `streamed`.
   */
  streams?: Record<string, (heard: string) => string | Uint8Array | undefined>;
  /** What upstreams say of recipients, or in place of it all a failure such as `timed-out`. */
  upstreams?: Record<string, Record<string, UpstreamReply> | string>;
  /** Their numbers. */
  states?: Record<string, Record<string, number>>;
  mailAuth?: { sender?: Found[]; content?: Found[] };
  now?: number;
}): FakeGateway;

export function fakeSession(facts?: {
  id?: string;
  listener?: string;
  clientAddress?: string;
  clientPort?: number;
  clientName?: string;
  helo?: string;
  esmtp?: boolean;
  tls?: TlsInfo;
  tlsAtProxy?: boolean;
  user?: string;
  mechanism?: string;
  forwarded?: Forwarded;
  /** What the plugin saved before. */
  saved?: string | Uint8Array;
  /** By `plugin.key`. */
  notes?: Record<string, string>;
  /** How often the client did what; `raw.delayed` is how long the plugin holds the reply back. */
  conduct?: Record<string, number>;
}): Session;

export function fakeCredentials(
  user: string,
  options?: { mechanism?: string; authorization?: string; secret?: string },
): Credentials;

export function fakeRecipient(
  address: string,
  options?: { index?: number; parameters?: Record<string, string> },
): Recipient;

export function fakeTransaction(options?: {
  id?: string;
  sender?: string;
  recipients?: string[];
  parameters?: Record<string, string>;
  grants?: ('rewrite-envelope' | 'route')[];
}): Transaction & { edits: Edit[] };

export function fakeMessage(
  content?: string | Uint8Array,
  options?: {
    grants?: ('rewrite-headers' | 'rewrite-body')[];
    parts?: {
      contentType?: string;
      content?: string | Uint8Array;
      parent?: number;
      charset?: string;
      disposition?: string;
      fileName?: string;
      encoded?: [number, number];
    }[];
  },
): Message & { readonly edits: Edit[]; readonly edited: string };
