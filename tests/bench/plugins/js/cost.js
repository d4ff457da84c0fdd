import { settings, Verdict } from './sdk/index.js';

/** What gateway/benches/cost.rs measures: the same as ../rust. */
export default class Cost {
  static settings = {
    look: settings.optional(settings.boolean, true),
    scan: settings.optional(settings.boolean, false),
  };

  constructor({ look, scan }) {
    this.looksAtHeaders = look;
    this.scans = scan;
  }

  skip() {
    return this.looksAtHeaders ? [] : ['headers'];
  }

  rcpt() {
    return Verdict.next;
  }

  headers({ message }) {
    const sells = message.headers('Subject').some((subject) => subject.includes('cheap watches'));
    return sells ? Verdict.reject(550, '5.7.1', 'no watches') : Verdict.next;
  }

  message({ message }) {
    const shouts = this.scans && exclamations(message.readBody()) > 1000;
    return shouts ? Verdict.reject(550, '5.7.1', 'no shouting') : Verdict.next;
  }
}

function exclamations(reader) {
  let count = 0;
  for (let chunk = reader.read(); chunk.length > 0; chunk = reader.read()) {
    for (const octet of chunk) if (octet === 33) count += 1;
  }
  reader.close();
  return count;
}
