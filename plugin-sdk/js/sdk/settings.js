// A shape is a function that takes a value and its place, and returns the value or throws.

/** The operator's mistake; the text is what the operator reads. */
export class SettingsError extends Error {
  constructor(message) {
    super(message);
    this.name = 'SettingsError';
  }
}

const say = (place, text) => new SettingsError(place === '' ? text : `${place}: ${text}`);

function kindOf(value) {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return { object: 'a mapping', boolean: 'true or false' }[typeof value] ?? `a ${typeof value}`;
}

const simple = (wanted, fits) => (value, place) => {
  if (!fits(value)) throw say(place, `expected ${wanted}, found ${kindOf(value)}`);
  return value;
};

export const any = (value) => value;
export const string = simple('a string', (value) => typeof value === 'string');
export const number = simple('a number', (value) => typeof value === 'number');
export const integer = simple('a whole number', Number.isInteger);
export const boolean = simple('true or false', (value) => typeof value === 'boolean');

const anyList = simple('a list', Array.isArray);
const isMapping = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const anyMapping = simple('a mapping', isMapping);

/** A list of what the shape describes. */
export const list = (shape) => (value, place) =>
  anyList(value, place).map((item, index) => shape(item, `${place}[${index}]`));

/** A mapping from any keys to what the shape describes. */
export const map = (shape) => (value, place) => {
  const entries = Object.entries(anyMapping(value, place));
  return new Map(entries.map(([key, item]) => [key, shape(item, inside(place, key))]));
};

/** One of these values. */
export const oneOf = (...values) => (value, place) => {
  if (!values.includes(value)) throw say(place, `expected ${alternatives(values)}`);
  return value;
};

/** A key of `object` that may be left out. */
export const optional = (shape, fallback) =>
  Object.assign((value, place) => (value === null ? fallback : shape(value, place)), {
    isOptional: true,
    fallback,
  });

/** A mapping with these keys and no others. */
export const object = (shapes) => (value, place = '') => {
  const given = anyMapping(value, place);
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(shapes, key)) {
      throw say(inside(place, key), `unknown key, expected ${alternatives(Object.keys(shapes))}`);
    }
  }
  const entries = Object.entries(shapes).map(([key, shape]) => {
    if (Object.hasOwn(given, key)) return [key, shape(given[key], inside(place, key))];
    if (!shape.isOptional) throw say(inside(place, key), 'missing');
    return [key, shape.fallback];
  });
  return Object.fromEntries(entries);
};

const inside = (place, key) => (place === '' ? key : `${place}.${key}`);

function alternatives(values) {
  if (values.length === 0) return 'none';
  const last = values.at(-1);
  return values.length === 1 ? `${last}` : `${values.slice(0, -1).join(', ')} or ${last}`;
}
