/** Takes a value and its place in the settings; returns the value, or throws a `SettingsError`. */
export type Shape<T> = (value: any, place?: string) => T;
export type Optional<T> = Shape<T> & { isOptional: true };
/** What the constructor gets: `Settings<typeof Mine.settings>`. */
export type Settings<S extends Record<string, Shape<any>>> = { [K in keyof S]: ReturnType<S[K]> };

export class SettingsError extends Error {
  constructor(message: string);
}

export const any: Shape<any>;
export const string: Shape<string>;
export const number: Shape<number>;
export const integer: Shape<number>;
export const boolean: Shape<boolean>;
export function list<T>(shape: Shape<T>): Shape<T[]>;
/** A mapping from any keys. */
export function map<T>(shape: Shape<T>): Shape<Map<string, T>>;
export function oneOf<const T>(...values: T[]): Shape<T>;
/** A key of `object` that may be left out. */
export function optional<T>(shape: Shape<T>): Optional<T | undefined>;
export function optional<T>(shape: Shape<T>, fallback: T): Optional<T>;
/** A mapping with these keys and no others. */
export function object<S extends Record<string, Shape<any>>>(shapes: S): Shape<Settings<S>>;
