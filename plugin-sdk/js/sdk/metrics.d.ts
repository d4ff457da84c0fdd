/** Adds to the counter `portcullis_plugin_<plugin>_<name>_total`. A label is an object with one key. */
export function add(name: string, by?: number, label?: Record<string, string>): void;
/** Adds a value to a histogram. */
export function observe(name: string, value: number): void;
