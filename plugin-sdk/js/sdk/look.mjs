// Prints what a plugin has and needs; in a process of its own, for the plugin's code runs here.

import { realpathSync } from 'node:fs';
import { argv, exit, stderr } from 'node:process';
import { pathToFileURL } from 'node:url';

import { hooksOf } from './guest.js';
import { wanted } from './host.js';

const [, , main] = argv;
const { default: Plugin } = await import(pathToFileURL(realpathSync(main)));
const hooks = typeof Plugin === 'function' ? hooksOf(Plugin) : [];
if (hooks.length === 0) {
  stderr.write(`portcullis: ${main} exports no class with a hook by default\n`);
  exit(1);
}
console.log(JSON.stringify({ hooks, interfaces: wanted() }));
