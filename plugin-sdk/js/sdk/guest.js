// What the built plugin exports calls this; an author has nothing to do with it.

import { offer } from './host.js';
import { Credentials, Recipient, Session, Transaction } from './envelope.js';
import { Message } from './content.js';
import * as log from './log.js';
import * as shape from './settings.js';

const envelope = (s, t) => ({ session: new Session(s), transaction: new Transaction(t) });
const content = (s, t, m) => ({ ...envelope(s, t), message: new Message(m) });

/** Each hook, and how its method sees what the gateway gives. */
export const HOOKS = {
  connect: (s) => ({ session: new Session(s) }),
  helo: (s, name) => ({ session: new Session(s), name }),
  auth: (s, c) => ({ session: new Session(s), credentials: new Credentials(c) }),
  mail: envelope,
  rcpt: (s, t, r) => ({ ...envelope(s, t), recipient: new Recipient(r) }),
  data: envelope,
  headers: content,
  message: content,
  outcome: (events) => ({ events: events.map((event) => ({ ...event, time: Number(event.time) })) }),
};

/** The hooks that a plugin's class has. */
export const hooksOf = (Plugin) =>
  Object.keys(HOOKS).filter((hook) => typeof Plugin.prototype?.[hook] === 'function');

/** Makes a plugin of its settings; mistakes in them are thrown. */
export function make(Plugin, settings) {
  return new Plugin(Plugin.settings ? shape.object(Plugin.settings)(settings) : settings);
}

/** The hooks that a plugin wants left out. */
export const skippedBy = (plugin) => plugin.skip?.() ?? [];

/** What the built plugin exports. */
export function guest(Plugin, interfaces) {
  offer(interfaces);
  globalThis.console = console_();
  const draw = Math.random;
  let plugin;

  const configure = (settings) => {
    Math.random = tooEarly;
    try {
      plugin = make(Plugin, JSON.parse(settings));
      return { skip: skippedBy(plugin) };
    } catch (error) {
      const isMistake = error?.name === 'SettingsError';
      if (!isMistake) report(error);
      // What is thrown as a text refuses the configuration.
      throw isMistake ? error.message : describe(error);
    } finally {
      Math.random = draw;
    }
  };

  const hook = (name) => async (...given) => {
    try {
      return checked(name, await plugin[name](HOOKS[name](...given)));
    } catch (error) {
      report(error);
      throw error;
    }
  };

  return { configure, hook };
}

// By their tags, for a bundle has classes of its own.
const ANSWERS = {
  Authentication: ['next', 'authenticated', 'refused', 'unavailable'],
  Verdict: ['next', 'accept', 'reject', 'defer', 'disconnect', 'discard', 'quarantine'],
};

/** An answer, if the hook may give it. */
export function checked(hook, answer) {
  if (hook === 'outcome') return undefined;
  const wanted = hook === 'auth' ? 'Authentication' : 'Verdict';
  if (!ANSWERS[wanted].includes(answer?.tag)) {
    const found = answer?.tag ?? answer;
    throw new TypeError(`${hook} returned ${found}, not a ${wanted} such as ${wanted}.next`);
  }
  return answer;
}

// Numbers that are drawn before the plugin is copied would be the same in every copy.
function tooEarly() {
  throw new Error('Math.random() in the constructor: every mail would see the same numbers');
}

const console_ = () => ({
  debug: (...all) => log.debug(all.map(shown).join(' ')),
  log: (...all) => log.info(all.map(shown).join(' ')),
  info: (...all) => log.info(all.map(shown).join(' ')),
  warn: (...all) => log.warn(all.map(shown).join(' ')),
  error: (...all) => log.error(all.map(shown).join(' ')),
});

const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value) ?? String(value));

function report(error) {
  const stack = frames(error).join(' < ');
  log.error(describe(error), stack ? { stack } : {});
}

function describe(error) {
  // The gateway's side of the engine has errors of another realm.
  if (typeof error?.message !== 'string') return `thrown: ${shown(error)}`;
  const [innermost] = frames(error);
  return `${error.name}: ${error.message}${innermost ? ` at ${innermost}` : ''}`;
}

// The author's own frames as `function file:line:column`, innermost first.
function frames(error) {
  const lines = String(error?.stack ?? '').split('\n').filter((line) => line.includes('@'));
  return lines
    .map((line) => line.replace('@', ' ').trim())
    .filter((line) => !/\bsdk\/|portcullis-entry\.js|initializer\.js/.test(line))
    .slice(0, 8);
}
