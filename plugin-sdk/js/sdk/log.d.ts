export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
export type Fields = Record<string, unknown>;

/** Whether lines of this level are kept. */
export function enabled(level: Level): boolean;
/** Writes a line; at most 100 a hook call. */
export function write(level: Level, text: string, fields?: Fields): void;
export function trace(text: string, fields?: Fields): void;
export function debug(text: string, fields?: Fields): void;
export function info(text: string, fields?: Fields): void;
export function warn(text: string, fields?: Fields): void;
export function error(text: string, fields?: Fields): void;
