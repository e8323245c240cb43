/** Who may attest what about whom: whatever does not hold is refused, and nothing of it counts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateSigningKey } from '@subcloud/kit/signing';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import type { Client } from '@subcloud/sdk/client';
import { type Attester, type Attesting, HOUR_MS, attestingIn, refusal, seat } from './attesting.ts';

let network: TestNetwork;
let on: Attesting;
let node: TestNode;
let acmeNode: TestNode;
let acme: Client;
let stranger: Client;

beforeAll(async () => {
  network = await startTestNetwork();
  on = await attestingIn(network);
  acme = network.client(await network.principal('org:acme'));
  stranger = network.client(await network.principal('user:stranger'));
  const common = { labels: { tier: 'gold' }, consent: { autoJoin: 'all' } };
  node = await network.node({ name: 'first', operator: 'user:admin', address: '127.0.1.1', ...common });
  acmeNode = await network.node({ name: 'of-acme', operator: 'org:acme', address: '127.0.2.1', ...common });
  await network.serving('global', node);
  await network.serving('global', acmeNode);
});
afterAll(() => network[Symbol.asyncDispose]());

describe('what an attester may not say is refused', () => {
  let narrow: Attester;
  let own: Attester;
  beforeAll(async () => {
    narrow = await on.attester('narrow', ['operatorSeat'], { nodes: ['org:acme'] });
    own = await on.attester('acme-lab', ['operatorSeat', 'audit'], { by: acme });
  });
  const claimRefused = { code: 'policy.claim_refused', status: 403 };

  test('a fact outside its scope', async () => {
    const document = on.sign(narrow, { subject: { node: acmeNode.id }, fact: 'stake', value: '1 CREDIT' });
    expect(await refusal(on.post(document))).toMatchObject(claimRefused);
  });
  test.each([
    ['an operator outside its scope', () => narrow],
    ["a node that an organisation's attester does not operate", () => own],
  ])('%s, with the same bytes as for a node that does not exist', async (_name, who) => {
    const there = await refusal(on.post(on.sign(who(), seat('DE', node)), stranger));
    const nowhere = await refusal(
      on.post(on.sign(who(), { ...seat('DE', node), subject: { node: `nod_${'0'.repeat(20)}` } }), stranger),
    );
    expect(there.code).toBe('client.not_found');
    expect(there.message.replace(node.id, 'ID')).toBe(nowhere.message.replace(`nod_${'0'.repeat(20)}`, 'ID'));
  });
  test('a signature by another key, or over another text', async () => {
    const forged = on.sign({ name: 'narrow', key: generateSigningKey() }, seat('DE', acmeNode));
    expect(await refusal(on.post(forged))).toMatchObject(claimRefused);
    const real = on.sign(narrow, seat('DE', acmeNode));
    const changed = { ...real, body: real.body.replace('"DE"', '"FR"') };
    expect(changed.body).not.toBe(real.body);
    expect(await refusal(on.post(changed))).toMatchObject(claimRefused);
    expect(await refusal(on.post({ ...real, type: 'declaration' }))).toMatchObject(claimRefused);
    expect(await refusal(on.post(on.sign({ name: 'network', key: narrow.key }, seat('DE', node))))).toMatchObject(
      claimRefused,
    );
  });
  test('a claim for another network, from the future, expired, or without an end that counts', async () => {
    const nowMs = network.clock.nowMs();
    for (const over of [
      { networkId: 'net_other' },
      { issuedAt: nowMs + HOUR_MS },
      { expiresAt: nowMs - 1 },
      { issuedAt: nowMs - HOUR_MS, expiresAt: nowMs - HOUR_MS },
      { issuedAt: nowMs - HOUR_MS, expiresAt: nowMs - 1 },
      { issuedAt: nowMs + 2, expiresAt: nowMs + 1 },
      { expiresAt: nowMs + 20 * 366 * 24 * HOUR_MS },
    ])
      expect(await refusal(on.post(on.sign(narrow, seat('DE', acmeNode), over))), JSON.stringify(over)).toMatchObject(
        claimRefused,
      );
  });
  test('a value that is none of the fact', async () => {
    for (const [fact, value] of [
      ['operatorSeat', { country: 'XX' }],
      ['operatorSeat', { country: 'DE', more: true }],
      ['operatorSeat', { country: 'DE', subdivision: 'FR-IDF' }],
      ['location', { candidates: [], evidence: '' }],
      ['trustLevel', 'best'],
      ['reputation', 1.5],
      ['stake', '1000'],
      ['hardware', { gpus: [{ model: 'H100' }] }],
      ['uptime30d', '0.9'],
    ] as const)
      expect(await refusal(on.draft(node, fact, value)), JSON.stringify([fact, value])).toMatchObject({
        code: 'client.invalid_request',
      });
  });
  test('a draft for the network to sign from anybody but the admin, and an attester for somebody else', async () => {
    const body = { draft: { ...seat('DE', acmeNode), expiresAt: '2099-01-01T00:00:00Z' } } as never;
    expect((await refusal(acme.call('createClaim', { body }))).code).toBe('policy.forbidden');
    const key = generateSigningKey().publicKey;
    const foreign = { name: 'mine', publicKey: key, facts: ['audit'] as const, owner: 'org:acme' as const };
    expect((await refusal(stranger.call('createAttester', { body: { ...foreign, facts: ['audit'] } }))).code).toBe(
      'policy.forbidden',
    );
    for (const name of ['network', 'nvidia', 'narrow'])
      expect(
        (await refusal(acme.call('createAttester', { body: { name, publicKey: key, facts: ['audit'] } }))).code,
      ).toBe('client.conflict');
  });
  test('an older statement after a newer one, and one that was revoked', async () => {
    const older = on.sign(narrow, seat('FR', acmeNode), { issuedAt: network.clock.nowMs() - 1_000 });
    const newer = on.sign(narrow, seat('DE', acmeNode));
    const { claim } = await on.post(newer);
    expect((await refusal(on.post(older))).code).toBe('client.conflict');
    expect(await on.post(newer)).toMatchObject({ change: 'unchanged', claim: { id: claim.id, revokedAt: null } });
    await on.revoke(claim.id);
    const again = await on.post(newer);
    expect([again.change, again.claim.id, again.claim.counted, again.claim.why]).toEqual([
      'unchanged',
      claim.id,
      false,
      'revoked',
    ]);
    expect((await refusal(on.post(older))).code).toBe('client.conflict');
  });
});
