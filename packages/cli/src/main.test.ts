import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

test('an answer whose reader has had enough ends quietly, as any command before `head` does', async () => {
  const command = spawn(process.execPath, [MAIN, 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] });
  command.stdout.destroy();
  const told = text(command.stderr);
  const [code] = (await once(command, 'exit')) as [number | null];
  expect([code, await told]).toEqual([141, '']);
});
