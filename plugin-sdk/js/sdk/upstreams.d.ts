/** What an upstream says of a recipient. */
export interface UpstreamReply {
  code: number;
  /** As in 5.1.1; empty for none. */
  status: string;
  text: string;
}

/** Whether an upstream would take mail for somebody. No sender is the null reverse-path. */
export function verify(upstream: string, recipient: string, options?: { sender?: string }): UpstreamReply;
/** The same for several, at most 100; a reply each, in their order. */
export function verifyAll(
  upstream: string,
  recipients: string[],
  options?: { sender?: string },
): UpstreamReply[];
/** Numbers of how it is: `available` (0 or 1), `connections`, `busy`, `waiting`, `limit`. */
export function state(upstream: string): Record<string, number>;
