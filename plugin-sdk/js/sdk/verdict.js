// The shapes are those of the contract, so that they go to the gateway as they are.

function reply(name, classes, code, status, text) {
  if (text === undefined) [status, text] = [undefined, status];
  if (!classes.includes(Math.trunc(code / 100))) {
    const wanted = classes.map((first) => `${first}xx`).join(' or ');
    throw new RangeError(`${name} takes a code ${wanted}, not ${code}`);
  }
  return { code, status: status === undefined ? undefined : enhanced(status), text: String(text ?? '') };
}

function enhanced(status) {
  const parts = /^([245])\.(\d{1,3})\.(\d{1,3})$/.exec(status);
  if (!parts) throw new RangeError(`'${status}' is no enhanced status such as '5.7.1'`);
  return parts.slice(1).map(Number);
}

/** What a hook answers. */
export class Verdict {
  constructor(tag, val) {
    this.tag = tag;
    if (val !== undefined) this.val = val;
    Object.freeze(this);
  }

  static next = new Verdict('next');
  static accept = new Verdict('accept');

  static reject(code, status, text) {
    return new Verdict('reject', reply('reject', [5], code, status, text));
  }

  static defer(code, status, text) {
    return new Verdict('defer', reply('defer', [4], code, status, text));
  }

  static disconnect(code, status, text) {
    return new Verdict('disconnect', reply('disconnect', [4, 5], code, status, text));
  }

  static discard(reason) {
    return new Verdict('discard', String(reason));
  }

  static quarantine(reason) {
    return new Verdict('quarantine', String(reason));
  }
}

/** What the hook `auth` answers. */
export class Authentication {
  constructor(tag, val) {
    this.tag = tag;
    if (val !== undefined) this.val = val;
    Object.freeze(this);
  }

  static next = new Authentication('next');

  static authenticated(identity) {
    return new Authentication('authenticated', identity);
  }

  static refused(code, status, text) {
    return new Authentication('refused', reply('refused', [5], code, status, text));
  }

  static unavailable(code, status, text) {
    return new Authentication('unavailable', reply('unavailable', [4], code, status, text));
  }
}

/** A reply by itself, for `transaction.refuseRecipient`. */
export function refusal(code, status, text) {
  return reply('a refusal', [4, 5], code, status, text);
}
