import { host, want } from './host.js';

want('clock');

/** Milliseconds since 1970. `Date.now()` says the same. */
export const now = () => Number(host('clock').now());

/** Nanoseconds since some moment in the past; never goes back. */
export const monotonic = () => host('clock').monotonic();
