import { host, want } from './host.js';

want('random');

/** Octets from the operating system's generator; not in the constructor. */
export const bytes = (count) => host('random').bytes(count);
