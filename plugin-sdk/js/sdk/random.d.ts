/** Octets from the operating system's generator, at most 64 KiB; not in the constructor. */
export function bytes(count: number): Uint8Array;
