/** Roles that run alone: whose fault it is where they cannot start. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured } from './testing/run-captured.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'subcloud-roles-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const taken = createServer();
beforeAll(() => once(taken.listen(0, '127.0.0.1'), 'listening'));
afterAll(() => taken.close());
const takenPort = (): string => String((taken.address() as AddressInfo).port);

test('a gateway whose port is taken is told so by the process that found it out', async () => {
  const flags = ['--data-dir', path.join(scratch, 'taken'), '--port', takenPort(), '--log-level', 'silent'];
  const { exitCode, stderr } = await runCaptured(['serve', 'gateway', ...flags], {
    env: { PATH: process.env['PATH'] ?? '' },
  });
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('(config.port_taken)') });
  expect(stderr).toMatch(/is taken by another program\.[\s\S]*next: +Stop that program/);
});

test.each([
  ['control', ['--database-url', 'postgres://127.0.0.1:1/none'], 'config.database_unusable', '--database-url'],
] as const)('a %s that cannot start with %j is told whose fault that is', async (role, flags, code, said) => {
  const dataDir = path.join(scratch, `role-${code}-${flags.length}-${said.length}`);
  const { exitCode, stderr } = await runCaptured([
    'serve',
    role,
    '--data-dir',
    dataDir,
    '--log-level',
    'silent',
    ...flags,
  ]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`(${code})`) });
  expect(stderr).toContain(said);
  expect(stderr).toMatch(/^ {2}next: /m);
});
