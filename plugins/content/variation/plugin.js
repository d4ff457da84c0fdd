// An attachment policy for a small site: no programs, whatever they are called, and points for
// archives that nobody but their sender can look into.
import { log, settings, Verdict } from './sdk/index.js';

const PROGRAMS = ['bat', 'cmd', 'com', 'exe', 'hta', 'js', 'lnk', 'msi', 'pif', 'ps1', 'scr', 'vbs', 'wsf'];

const starts = (content, ...octets) => octets.every((octet, at) => content[at] === octet);

// ZIP: the first entry's flags say whether it is encrypted.
const isEncrypted = (content) => starts(content, 0x50, 0x4b, 3, 4) && (content[6] & 1) === 1;

// MZ, and what no text has; or ELF.
const isProgram = (content) =>
  (starts(content, 0x4d, 0x5a) && content.subarray(0, 64).includes(0)) || starts(content, 0x7f, 0x45, 0x4c, 0x46);

export default class Attachments {
  static settings = {
    extensions: settings.optional(settings.list(settings.string), PROGRAMS),
    encrypted: settings.optional(settings.number, 2),
  };

  constructor({ extensions, encrypted }) {
    this.extensions = new Set(extensions.map((extension) => extension.toLowerCase()));
    this.encrypted = encrypted;
  }

  message({ session, transaction, message }) {
    if (session.user) return Verdict.next;
    for (const part of message.parts) {
      if (part.isMultipart || (part.contentType.startsWith('text/') && !part.fileName)) continue;
      const name = part.fileName ?? '';
      // Windows does not see dots and blanks at the end.
      const extension = /\.([^.]*)$/.exec(name.replace(/[. ]+$/, ''))?.[1].toLowerCase();
      const content = part.read()?.read(512) ?? new Uint8Array();
      if (this.extensions.has(extension) || isProgram(content)) {
        const shown = name.replace(/[^ -~]/g, '?').slice(-60) || 'without a name';
        log.info('refused', { attachment: shown });
        return Verdict.reject(550, '5.7.1', `the attachment ${shown} is a program`);
      }
      if (isEncrypted(content)) transaction.score('ENCRYPTED_ARCHIVE', this.encrypted);
    }
    return Verdict.next;
  }
}
