// What the gateway offers, by the name of the interface. The built plugin puts the real ones in, a
// test its fakes. On `globalThis`, so that a bundle which holds this file a second time shares it.
const shared = (globalThis[Symbol.for('portcullis.host')] ??= { offered: {}, wanted: new Set() });

/** Says that the plugin needs this interface, so that the build imports it. */
export function want(name) {
  shared.wanted.add(name);
}

/** The names of all interfaces that the plugin's modules need. */
export function wanted() {
  return [...shared.wanted];
}

/** Puts interfaces in. */
export function offer(interfaces) {
  shared.offered = interfaces;
}

/** An interface of the gateway. */
export function host(name) {
  const found = shared.offered[name];
  if (!found) throw new Error(`no ${name} here: a test begins with fakeGateway()`);
  return found;
}

/** The gateway did not do what it was asked to. */
export class GatewayError extends Error {
  /**
   * @param {string} call what was asked, for example `message.addHeader`
   * @param {string} reason as in the contract, for example `denied`
   * @param {string} [detail]
   */
  constructor(call, reason, detail) {
    super(`${call}: ${reason}${detail ? ` (${detail})` : ''}`);
    this.name = 'GatewayError';
    this.call = call;
    this.reason = reason;
    this.detail = detail;
  }
}

/** Calls the gateway; what it answers as an error is thrown as a `GatewayError`. */
export function ask(call, function_) {
  try {
    return function_();
  } catch (error) {
    if (!Object.hasOwn(Object(error), 'payload')) throw error;
    throw gatewayError(call, error.payload);
  }
}

/** An error of the contract (an enum's name, or a variant) as a `GatewayError`. */
export function gatewayError(call, payload) {
  return typeof payload === 'string'
    ? new GatewayError(call, payload)
    : new GatewayError(call, payload.tag, payload.val);
}

/** Text is UTF-8; bytes are left alone. */
export function bytes(value) {
  return typeof value === 'string' ? new TextEncoder().encode(value) : value;
}
