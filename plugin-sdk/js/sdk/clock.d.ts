/** Milliseconds since 1970. `Date.now()` says the same. */
export function now(): number;
/** Nanoseconds since some moment in the past; never goes back. */
export function monotonic(): bigint;
