#!/usr/bin/env node
// Builds a plugin:  node sdk/build.mjs [FOLDER] [--output FILE]
//
// FOLDER (by default this one) has a package.json with `name` and `main`; the plugin is the class
// that `main` exports by default. Without --output it becomes NAME.wasm in FOLDER.
//
//   PORTCULLIS_TOOLS    where the tools are kept; by default ~/.cache/portcullis

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { argv, env, execPath, exit, stderr } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const sdk = dirname(fileURLToPath(import.meta.url));
const CONTRACT = 'smtp:filter';
const COMPONENTIZE = 'node_modules/@bytecodealliance/componentize-js/src/componentize.js';
const say = (text) => stderr.write(`portcullis: ${text}\n`);

/** The folder with the tools, which are installed the first time. */
async function tools() {
  const wanted = join(sdk, 'tools');
  const lock = await readFile(join(wanted, 'package-lock.json'));
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 12);
  const kept = env.PORTCULLIS_TOOLS ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'portcullis');
  const folder = join(kept, `js-${digest}`);
  if (existsSync(folder)) return folder;
  say(`installing componentize-js into ${folder}`);
  await mkdir(kept, { recursive: true });
  const fresh = await mkdtemp(join(kept, 'js-new-'));
  await cp(wanted, fresh, { recursive: true });
  const how = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  try {
    execFileSync('npm', how, { cwd: fresh, stdio: ['ignore', 2, 2] });
    // Whoever installed it at the same time has the same.
    await rename(fresh, folder).catch(() => {});
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return folder;
}

/** The hooks that the plugin has and the interfaces that its modules need. */
function look(main) {
  const look = [join(sdk, 'look.mjs'), main];
  const said = execFileSync(execPath, look, { stdio: ['ignore', 'pipe', 2], encoding: 'utf8' });
  // The plugin may print, too.
  return JSON.parse(said.trim().split('\n').at(-1));
}

/** The contract with a world that has just these. */
function world(contract, { hooks, interfaces }) {
  const imports = ['types', ...interfaces].map((name) => `    import ${name};`);
  const exports = ['lifecycle', ...hooks.map((hook) => `on-${hook}`)].map((name) => `    export ${name};`);
  return `${contract}\nworld built {\n${[...imports, ...exports].join('\n')}\n}\n`;
}

/** The module that exports what the world wants. */
function entry(main, version, { hooks, interfaces }) {
  const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const exported = (hook) =>
    `export const ${camel(`on-${hook}`)} = { handle: built.hook('${hook}') };`;
  return [
    ...interfaces.map((name) => `import * as ${camel(name)} from '${CONTRACT}/${name}@${version}';`),
    `import { guest } from './sdk/guest.js';`,
    `import Plugin from './${main}';`,
    `const built = guest(Plugin, { ${interfaces.map((name) => `'${name}': ${camel(name)}`).join(', ')} });`,
    'export const lifecycle = { configure: built.configure };',
    ...hooks.map(exported),
  ].join('\n');
}

// What the engine may read: the plugin's own modules beside the SDK, links followed.
async function stage(project, folder) {
  const isWanted = (from) => {
    const name = basename(from);
    if (from === project) return true;
    if (name.startsWith('.') || name === 'node_modules' || name === 'sdk') return false;
    return !name.includes('.') || /(?<!\.test)\.(js|mjs|json)$/.test(name);
  };
  await cp(project, folder, { recursive: true, dereference: true, filter: isWanted });
  await cp(sdk, join(folder, 'sdk'), {
    recursive: true,
    dereference: true,
    filter: (from) => basename(from) !== 'tools',
  });
}

async function build(project, output) {
  const { name, main } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'));
  const source = join(project, main ?? 'index.js');
  const found = look(source);
  const { componentize } = await import(pathToFileURL(join(await tools(), COMPONENTIZE)));
  const work = await mkdtemp(join(tmpdir(), 'portcullis-'));
  try {
    await stage(project, work);
    const contract = await readFile(join(sdk, 'filter.wit'), 'utf8');
    const [, version] = /^package smtp:filter@([0-9.]+);/m.exec(contract);
    const sourcePath = join(work, 'portcullis-entry.js');
    const witPath = join(work, 'built.wit');
    await writeFile(sourcePath, entry(relative(project, source), version, found));
    await writeFile(witPath, world(contract, found));
    // Output goes to the contract's log; fetch needs more than most plugins are granted.
    const disableFeatures = ['stdio', 'http', 'fetch-event'];
    const { component } = await componentize({ sourcePath, witPath, worldName: 'built', disableFeatures });
    const file = resolve(output ?? join(project, `${name}.wasm`));
    await mkdir(dirname(file), { recursive: true });
    // In one step, so that a gateway never reads half a plugin.
    const half = join(dirname(file), `.${basename(file)}.new`);
    await writeFile(half, component);
    await rename(half, file);
    say(`${file}: ${component.length} octets, hooks ${found.hooks.join(', ')}`);
  } finally {
    await rm(work, { recursive: true });
  }
}

const { values, positionals } = parseArgs({
  args: argv.slice(2),
  options: { output: { type: 'string', short: 'o' } },
  allowPositionals: true,
});
try {
  await build(resolve(positionals[0] ?? '.'), values.output);
} catch (error) {
  say(error.message);
  exit(1);
}
