import { host, want } from './host.js';

want('log');

/** @returns {boolean} whether lines of this level are kept */
export const enabled = (level) => host('log').enabled(level);

/** Writes a line; the fields are an object. */
export function write(level, text, fields = {}) {
  const all = Object.entries(fields).map(([name, value]) => [name, String(value)]);
  host('log').write(level, String(text), all);
}

export const trace = (text, fields) => write('trace', text, fields);
export const debug = (text, fields) => write('debug', text, fields);
export const info = (text, fields) => write('info', text, fields);
export const warn = (text, fields) => write('warn', text, fields);
export const error = (text, fields) => write('error', text, fields);
