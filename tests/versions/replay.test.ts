/** Recorded peers against what is here now, in every direction, and peers of versions that nobody speaks any more, by name. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Served, agentOptions, runAgent } from '@subcloud/agent/run';
import { LINK_HEADERS } from '@subcloud/contract/link';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { migrate } from '@subcloud/control/store/migrate';
import { eventually } from '@subcloud/testkit/eventually';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Recorded, clockAfter, emptyDatabase, insertRows, readRecorded } from './recorded.ts';
import {
  ask,
  bytesOf,
  connectionsOf,
  headerOf,
  linkOf,
  replayAgent,
  replayGateway,
  requestsOf,
  sideOf,
} from './replay.ts';
import { startUpgraded } from './upgraded.ts';

/** Nonces that are drawn next, so that signatures over recorded ones hold. */
const nonces = vi.hoisted((): string[] => []);
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  const randomBytes = (size: number): Buffer => {
    const next = size === 32 ? nonces.shift() : undefined;
    return next === undefined ? crypto.randomBytes(size) : Buffer.from(next, 'base64url');
  };
  return { ...crypto, randomBytes };
});

/** The newest recording of what is spoken now. */
const NOW = 'schema-16';
const recorded = readRecorded(NOW);
const berlin = recorded.meaning.nodes['berlin'] ?? '';
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'subcloud-replay-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function upgraded(of: Recorded, name: string) {
  const databaseUrl = await emptyDatabase();
  await migrate(databaseUrl, of.meaning.versions.schema);
  await insertRows(databaseUrl, of.rows);
  return startUpgraded(of, { folder: join(folder, name), databaseUrl });
}

test('a recorded agent and the present gateway: linked, declared, acknowledged, and its answers reach the caller', async () => {
  await using network = await upgraded(recorded, 'agent');
  const link = linkOf(recorded.tape('link'), berlin);
  const hello = JSON.parse(
    Buffer.from(headerOf(sideOf(link, 'server').head, LINK_HEADERS.gateway), 'base64url').toString('utf8'),
  ) as { nonce: string };
  nonces.push(hello.nonce);
  const agent = await replayAgent(sideOf(link, 'client'), { port: network.gateway.port, localAddress: '127.0.1.5' });
  try {
    expect(agent.live.head).toMatch(/^HTTP\/1\.1 101/);
    await eventually('the recorded agent serves', async () => {
      const found = await network.admin.call('explainNode', { params: { name: 'europe', node: berlin } });
      return found.serving;
    });
    const [europe] = recorded.meaning.opens.filter(({ pool }) => pool === 'europe');
    expect(await network.chat('europe', europe?.secret ?? '')).toBe(200);
    const others = recorded.meaning.opens.filter(({ pool }) => pool === 'global');
    for (const { secret } of others) expect(await network.chat('global', secret)).toBe(200);
  } finally {
    agent.end();
  }
}, 60_000);

test('a recorded gateway and the present agent: enrolled, linked, every document acknowledged, every request served', async () => {
  const gateway = await replayGateway(recorded.tape('link'), berlin);
  await using engine = await startScriptedEngine({ models: ['test-model'], name: 'engine' });
  using clock = clockAfter(recorded);
  clock.jumpWallClock(-60_000);
  const dataDir = join(folder, 'agent-alone');
  mkdirSync(dataDir, { recursive: true });
  const key = recorded.files.find(({ path }) => path === 'agents/berlin/node.pem');
  writeFileSync(join(dataDir, 'node.pem'), Buffer.from(key?.base64 ?? '', 'base64'), { mode: 0o600 });
  const [enrolment] = [...connectionsOf(recorded.tape('link')).values()];
  const asked = bytesOf(enrolment ?? [], 'client').toString('latin1');
  nonces.push(/nonce=([\w-]+)/.exec(asked)?.[1] ?? '');
  nonces.push(headerOf(sideOf(linkOf(recorded.tape('link'), berlin), 'client').head, LINK_HEADERS.agentNonce));
  const served: Served[] = [];
  const flags = {
    url: `http://127.0.0.1:${gateway.port}`,
    joinToken: recorded.meaning.joinToken,
    dataDir,
    name: 'berlin',
    engines: [{ url: engine.url }],
    consent: { autoJoin: 'all', isolation: 'isolate' },
    hardware: 'none',
  };
  const agent = await runAgent({
    clock,
    random: systemRandom,
    log: silentLog,
    config: loadConfig(agentOptions, { flags }),
    observe: { onServe: (one) => served.push(one) },
  });
  try {
    expect(agent.nodeId).toBe(berlin);
    await eventually('every recorded request is served', () => served.length >= gateway.requests, 30_000);
    expect(served.map(({ reason }) => reason)).toEqual(Array.from({ length: gateway.requests }, () => 'accepted'));
    expect(gateway.requests).toBeGreaterThanOrEqual(4);
    expect(gateway.links[0]?.live.lines('document-acknowledged')).toBe(gateway.documents);
    expect(gateway.links[0]?.live.lines('declaration')).toBeGreaterThan(0);
  } finally {
    await agent.stop();
    gateway.close();
  }
}, 60_000);

test('a recorded gateway and the present control: every call is taken, the table comes, and nothing is counted twice', async () => {
  await using network = await upgraded(recorded, 'gateway');
  const socket = join(folder, 'gateway', 'control', 'run', 'gateways.sock');
  const statuses: Record<string, string[]> = {};
  for (const entries of connectionsOf(recorded.tape('watch')).values()) {
    for (const request of requestsOf(bytesOf(entries, 'client'))) {
      const path = /^\w+ ([^? ]+)/.exec(request.toString('latin1'))?.[1] ?? '';
      const whole = path.endsWith('/watch') ? '"type":"commit"' : '\r\n\r\n';
      const answer = await ask(socket, request, (text) => text.includes(whole));
      (statuses[path] ??= []).push(answer.slice(9, 12));
    }
  }
  expect(Object.keys(statuses).sort()).toEqual(
    ['acknowledge', 'day-usage', 'decisions', 'gateway-certificate', 'reports', 'usage', 'watch'].map(
      (name) => `/internal/v1/${name}`,
    ),
  );
  for (const [path, found] of Object.entries(statuses)) expect(new Set(found), path).toEqual(new Set(['200']));
  const { items } = await network.admin.call('listUsage', {});
  expect(items.reduce((sum, { requests }) => sum + requests, 0)).toBe(recorded.meaning.usage.requests);
}, 60_000);

describe('a gateway of before', () => {
  test.each([
    ['schema-01', 'the gateway speaks watch 1, this control 2: upgrade the gateway'],
    ['schema-14', 'the gateway speaks table 2, this control 3: upgrade the gateway'],
  ])('of %s is refused by name, and is told no table', async (name, words) => {
    await using network = await upgraded(recorded, `refused-${name}`);
    const socket = join(folder, `refused-${name}`, 'control', 'run', 'gateways.sock');
    const tape = [...connectionsOf(readRecorded(name).tape('watch')).values()];
    const watch = tape
      .flatMap((entries) => requestsOf(bytesOf(entries, 'client')))
      .find((request) => request.includes('/watch?'));
    const answer = await ask(socket, watch ?? Buffer.alloc(0), (text) => text.includes('}}'));
    expect(answer).toMatch(/^HTTP\/1\.1 426/);
    expect(answer).toContain('platform.version_unsupported');
    expect(answer).toContain(words);
    expect(answer).not.toContain('"type":"rows"');
    expect(network.gateway.ready()).toBe(true);
  });
});
