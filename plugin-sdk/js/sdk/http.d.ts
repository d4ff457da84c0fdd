import type { GatewayError, Reader } from './index.js';

export interface Request {
  url: string;
  /** GET by default. */
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  timeoutMs?: number;
}

export class Response {
  private constructor();
  readonly status: number;
  readonly ok: boolean;
  readonly headers: [name: string, value: string][];
  readonly body: Uint8Array;
  header(name: string): string | undefined;
  text(): string;
  json(): any;
}

/** One request. */
export function send(request: Request): Response;
/** All at once, in the order of the requests; a failure is an error among the answers. */
export function sendAll(requests: Request[]): (Response | GatewayError)[];
/** One request whose body is what a reader has left. */
export function sendContent(request: Request, reader: Reader): Response;
