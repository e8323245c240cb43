#!/usr/bin/env node
// Starts the command line with a Node that runs TypeScript sources as they are. Written so that any Node since 14 can
// read it: the main file itself cannot be parsed by an old one.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 22 || (major === 22 && minor >= 18)) {
  await import(new URL('../src/main.ts', import.meta.url).href);
} else {
  const node = findNode();
  if (node === null) {
    process.stderr.write(
      `subcloud needs Node 22.18 or newer, and this is Node ${process.versions.node}. ` +
        'Run `npm ci` in the folder of Subcloud, which brings one, or install Node 24.\n',
    );
    process.exitCode = 1;
  } else {
    const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      // A terminal sends SIGINT to the child as well; only what came from elsewhere is passed on.
      process.on(signal, () => {
        if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
      });
    }
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? (signal === null ? 1 : 128);
    });
  }
}

/** The Node that npm brought, in the nearest node_modules upwards; null where there is none. */
function findNode() {
  for (let folder = dirname(main); ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', '.bin', 'node');
    if (existsSync(candidate)) return candidate;
    if (dirname(folder) === folder) return null;
  }
}
