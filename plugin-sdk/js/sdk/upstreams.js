import { ask, host, want } from './host.js';

want('upstreams');

const said = ({ code, status, text }) => ({ code, status: status?.join('.') ?? '', text });

/** Whether an upstream would take mail for somebody. No sender is the null reverse-path. */
export function verify(upstream, recipient, { sender } = {}) {
  return verifyAll(upstream, [recipient], { sender })[0];
}

/** The same for several, at most 100; a reply each, in their order. */
export function verifyAll(upstream, recipients, { sender } = {}) {
  return ask('upstreams.verify', () => host('upstreams').verify(upstream, sender, recipients)).map(said);
}

/** Numbers of how it is: `available` (0 or 1), `connections`, `busy`, `waiting`, `limit`. */
export function state(upstream) {
  const numbers = ask('upstreams.state', () => host('upstreams').state(upstream));
  return Object.fromEntries(numbers.map(([name, number]) => [name, Number(number)]));
}
