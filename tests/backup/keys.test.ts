/**
 * A network is restored with older keys than its agents and its gateways know, in one process with a clock that is moved:
 * the gateway outlives control, and the agent is started again, so that everything that either remembers is put to the test.
 */
import { cpSync, createWriteStream, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SignedDocument } from '@subcloud/contract/documents';
import { controlOptions, mirrorIn, restoreBackup, runControl, writeBackup } from '@subcloud/control/run';
import { systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { silentLog } from '@subcloud/kit/log';
import { certifySigningKey, fingerprintOf, importSigningKey } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { testDatabase } from '@subcloud/testkit/test-database';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'subcloud-restored-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HOUR_MS = 3_600_000;

async function chat({ url, apiKey }: TestNetwork): Promise<number> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
  });
  await response.text();
  return response.status;
}

const keysOf = async ({ admin }: TestNetwork) => (await admin.call('listSigningKeys')).keys;
const activeOf = async (network: TestNetwork) =>
  (await keysOf(network)).find(({ state }) => state === 'active')?.publicKey ?? '';

/** What the agent would know after a start. */
function remembered(network: TestNetwork, { name }: TestNode) {
  const state = JSON.parse(readFileSync(join(network.dataDir, 'agents', name, 'node.json'), 'utf8')) as {
    chain: { signingKeys: SignedDocument[] };
    document: SignedDocument;
  };
  const believed = state.chain.signingKeys.map(({ body }) => (JSON.parse(body) as { publicKey: string }).publicKey);
  return { believed, signer: state.document.signer };
}

async function backUp({ databaseUrl, dataDir }: TestNetwork, name: string): Promise<string> {
  const file = join(folder, `${name}.gz`);
  await writeBackup({ databaseUrl, dataDir, out: createWriteStream(file), nowMs: Date.now() });
  return file;
}

/** Control is lost with its database and its keys, and another one is started on what the backup had. */
async function restore(network: TestNetwork, file: string) {
  await network.stopControl();
  const database = await testDatabase();
  const databaseUrl = database.connectionString;
  const { dataDir, clock } = network;
  const restored = join(folder, `${file.replace(/^.*\//, '')}-restored`);
  const mirror = mirrorIn(dataDir);
  const told = await restoreBackup({ file, databaseUrl, dataDir: restored, mirror, nowMs: clock.nowMs() });
  for (const name of ['keys', 'audit']) rmSync(join(dataDir, name), { recursive: true });
  cpSync(restored, dataDir, { recursive: true });
  const config = loadConfig(controlOptions, { flags: { dataDir, databaseUrl } });
  const control = await runControl({ clock, random: systemRandom, log: silentLog, config });
  return { told, [Symbol.asyncDispose]: () => control.stop() };
}

async function serves(network: TestNetwork, node: TestNode): Promise<void> {
  await network.serving('global', node);
  await eventually('a caller is served', async () => (await chat(network)) === 200, 30_000);
}

test('a signing key was rotated since: agents and gateways that know the later one alone come back, and it is rotated again', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'one' });
  await serves(network, node);
  const old = await activeOf(network);
  const file = await backUp(network, 'rotated');

  await network.admin.call('rotateSigningKey', { body: {} });
  await eventually('the next key signs', async () => {
    network.clock.advance(4_000);
    return (await activeOf(network)) !== old;
  });
  const lost = await activeOf(network);
  // Past everything that the old key signed: certificates of gateways are renewed at half their life.
  for (const hours of [13, 13]) {
    network.clock.advance(hours * HOUR_MS);
    await serves(network, node);
  }
  await eventually('nobody knows the old key any more', async () => {
    const { believed, signer } = remembered(network, node);
    return (await keysOf(network)).length === 1 && believed.join() === lost && signer === fingerprintOf(lost);
  });

  await using restored = await restore(network, file);
  expect(restored.told.withdrawn.map(({ entry }) => entry.action)).toContain('signingKey.rotate');
  await serves(network, node);
  // A new link: the gateway must prove itself by the restored key.
  await node.stop();
  await node.start();
  await serves(network, node);
  const keys = await keysOf(network);
  expect(keys.map(({ state, publicKey }) => [state, publicKey === old])).toEqual([
    ['active', true],
    ['next', false],
  ]);
  const next = keys[1]?.publicKey ?? '';
  expect(next).not.toBe(lost);
  // What the lost key signs from now on, whoever has it, no agent takes.
  await eventually('the agent has forgotten the lost key', () => {
    const { believed, signer } = remembered(network, node);
    return !believed.includes(lost) && believed.includes(next) && signer === fingerprintOf(old);
  });
  await eventually('the new key signs, of itself', async () => {
    network.clock.advance(4_000);
    return (await activeOf(network)) === next;
  });
  await serves(network, node);
}, 120_000);

test('with the network key offline and the certificate of the backup over, all wait for one that the network key signs', async () => {
  await using network = await startTestNetwork();
  const away = join(folder, 'network.pem');
  renameSync(join(network.dataDir, 'keys', 'network.pem'), away);
  await network.restartControl();
  const node = await network.node({ name: 'one' });
  await serves(network, node);
  const file = await backUp(network, 'renewed');
  const publicKey = await activeOf(network);
  const networkId = (await network.admin.call('network')).chain.networkId;
  const install = async (): Promise<void> => {
    const networkKey = importSigningKey(readFileSync(away, 'utf8'));
    const certificate = certifySigningKey(networkKey, { networkId, publicKey }, network.clock.nowMs());
    await network.admin.call('installSigningKeyCertificate', { body: { certificate } });
  };
  network.clock.advance(20 * 24 * HOUR_MS);
  await install();
  network.clock.advance(11 * 24 * HOUR_MS);
  await serves(network, node);

  await using _restored = await restore(network, file);
  const [key] = await eventually('control answers', () => keysOf(network));
  expect([key?.publicKey, Date.parse(key?.notAfter ?? '') < network.clock.nowMs()]).toEqual([publicKey, true]);
  await install();
  await serves(network, node);
  await node.stop();
  await node.start();
  await serves(network, node);
}, 120_000);
