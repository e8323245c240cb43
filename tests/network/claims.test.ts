/** Facts as claims: each counts and falls alone, and memberships follow at once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SignedDocument } from '@subcloud/contract/documents';
import { openDocument } from '@subcloud/kit/signing';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import type { Client } from '@subcloud/sdk/client';
import { type Attesting, HOUR_MS, attestingIn, refusal, seat } from './attesting.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

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

test('claims of several issuers for one fact stand side by side, and each falls alone', async () => {
  const medcert = await on.attester('medcert', ['operatorSeat']);
  await on.pool('seated', { operatorSeat: { in: ['DE'], by: ['network', 'medcert'] } });
  expect((await on.standing('seated', node)).state).toBeNull();
  const first = await on.draft(node, 'operatorSeat', { country: 'DE' });
  const second = await on.post(on.sign(medcert, seat('DE', node)));
  expect([first.change, second.change, second.claim.issuer, second.withdrawal.complete]).toEqual([
    'created',
    'created',
    'medcert',
    true,
  ]);
  await network.serving('seated', node);
  const listed = await network.admin.call('listClaims', { query: { node: node.id } });
  const seats = listed.items.filter(({ fact }) => fact === 'operatorSeat');
  expect(seats.map(({ issuer, counted }) => `${issuer} ${counted}`).toSorted()).toEqual([
    'medcert true',
    'network true',
  ]);

  await on.revoke(first.claim.id);
  expect((await on.standing('seated', node)).state).toBe('active');
  expect((await on.revoke(second.claim.id)).complete).toBe(true);
  expect(await on.standing('seated', node)).toMatchObject({ state: 'suspended', reason: 'nodes.operatorSeat' });

  const kept = await network.admin.call('listClaims', { query: { node: node.id, revoked: 'true' } });
  expect(kept.items.find(({ id }) => id === first.claim.id)).toMatchObject({ revokedBy: 'admin', counted: false });
});

test('claims of equal strength that disagree make the fact unknown, and members are suspended before the 200', async () => {
  const [one, other] = [await on.attester('one', ['operatorSeat']), await on.attester('other', ['operatorSeat'])];
  await on.pool('agreed', { operatorSeat: { in: ['DE'], by: ['one', 'other'] } });
  await on.post(on.sign(one, seat('DE', node)));
  await network.serving('agreed', node);
  const contradiction = await on.post(on.sign(other, seat('FR', node)));
  expect(contradiction.withdrawal.complete).toBe(true);
  expect(contradiction.claim).toMatchObject({ counted: false, why: 'claims disagree' });
  const after = await on.standing('agreed', node);
  expect([after.state, after.reason]).toEqual(['suspended', 'nodes.operatorSeat']);
  expect(after.seen).toContain('claims disagree');
  const { warnings } = await network.admin.call('getNode', { params: { id: node.id } });
  expect(warnings).toContain('operatorSeat is unknown: claims of equal strength disagree');
  await network.admin.call('revokeAttester', { params: { name: 'one' } });
  await network.admin.call('revokeAttester', { params: { name: 'other' } });
});

test('a weaker claim that disagrees is a warning on the node and no more', async () => {
  await on.pool('french', { location: { in: ['FR'] } });
  const { claim } = await on.draft(node, 'location', { candidates: [{ country: 'FR' }], evidence: 'a visit' });
  await network.serving('french', node);
  const { warnings } = await network.admin.call('getNode', { params: { id: node.id } });
  expect(warnings.join()).toContain('measured location by network disagrees with the attested one');
  await on.revoke(claim.id);
  expect((await network.admin.call('getNode', { params: { id: node.id } })).warnings).toEqual([]);
});

test('a claim that expires moves memberships by time alone', async () => {
  await on.pool('for-an-hour', { trust: { level: 'verified' } });
  await on.draft(node, 'trustLevel', 'verified', HOUR_MS);
  await network.serving('for-an-hour', node);
  network.clock.advance(HOUR_MS + 1);
  await eventually('the node is suspended', async () => {
    const { state, reason } = await on.standing('for-an-hour', node);
    if (state !== 'suspended') throw new Error(`${state}: ${reason}`);
    return reason === 'nodes.trust.level';
  });
});

test("what an organisation's attester says counts in the organisation's own Subclouds alone", async () => {
  const own = await on.attester('acme-seat', ['operatorSeat'], { by: acme });
  const nodes = { operatorSeat: { in: ['DE'], by: ['acme-seat'] } };
  await on.pool('of-acme', nodes, { owner: 'org:acme' });
  await on.pool('of-others', nodes);
  const { claim } = await on.post(on.sign(own, seat('DE', acmeNode)), acme);
  expect(claim.why).toBe('only in Subclouds of org:acme whose by names acme-seat');
  await network.serving('of-acme', acmeNode);
  const elsewhere = await on.standing('of-others', acmeNode);
  expect([elsewhere.state, elsewhere.seen]).toEqual([null, 'unknown (no accepted issuer)']);

  const withdrawal = await acme.call('revokeClaim', { params: { id: claim.id } });
  expect(withdrawal.complete).toBe(true);
  expect((await on.standing('of-acme', acmeNode)).state).toBe('suspended');
});

test('a revoked measurement stays revoked when it is made again; pools that do not ask for it serve on', async () => {
  await on.pool('french-measured', { location: { in: ['FR'] } });
  await network.serving('french-measured', acmeNode);
  const { claims } = await network.admin.call('getNode', { params: { id: acmeNode.id } });
  const location = claims.find(({ fact, source }) => fact === 'location' && source === 'measured');
  await on.revoke(location?.id ?? '');
  await acmeNode.stop();
  await acmeNode.start();
  await network.serving('global', acmeNode);
  expect(await on.standing('french-measured', acmeNode)).toMatchObject({
    state: 'suspended',
    seen: 'unknown (no claim)',
  });
  const servedBefore = acmeNode.served.length;
  await eventually('the node answers in the global network', async () => {
    const response = await fetch(`${network.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'test-model', messages: [{ role: 'user', content: 'hello' }] }),
    });
    await response.text();
    return acmeNode.served.length > servedBefore;
  });
  await network.admin.call('restoreClaim', { params: { id: location?.id ?? '' } });
  const after = await network.admin.call('getNode', { params: { id: acmeNode.id } });
  expect(after.location).toEqual([{ country: 'FR' }]);
});

test('an audit counts for every node that serves the weights, and ends with its time or its revocation', async () => {
  const auditor = await on.attester('auditor', ['audit']);
  const model = { id: 'test-model', digest: DIGEST, quantization: null, modalities: null, contextLength: null };
  await on.draft(acmeNode, 'models', [model]);
  await on.pool(
    'audited',
    {},
    { models: { allow: [{ id: 'test-model', audited: { by: ['auditor'], maxAge: '30d' } }] } },
  );
  expect((await on.standing('audited', acmeNode)).reason).toBe('models.allow');
  const about = { subject: { digest: DIGEST }, fact: 'audit', value: { digest: DIGEST } };
  const modelsOf = (await network.admin.call('listClaims', { query: { node: acmeNode.id } })).items.find(
    ({ fact, source }) => fact === 'models' && source === 'attested',
  );
  const { claim } = await on.post(on.sign(auditor, about, { expiresAt: network.clock.nowMs() + 2 * HOUR_MS }));
  await network.serving('audited', acmeNode);
  expect((await on.standing('audited', node)).state, 'a node without these weights').toBeNull();
  const seen = await acme.call('listClaims', { query: { node: acmeNode.id } });
  expect(seen.items.map(({ id }) => id)).toContain(claim.id);

  network.clock.advance(2 * HOUR_MS + 1);
  await eventually('the audit has expired', async () => (await on.standing('audited', acmeNode)).state === 'suspended');

  const renewed = await on.post(on.sign(auditor, about));
  await eventually('the node is back', async () => {
    network.clock.advance(60_000);
    return (await on.standing('audited', acmeNode)).state === 'active';
  });
  await on.revoke(modelsOf?.id ?? '');
  const audits = async () =>
    (await network.admin.call('getNode', { params: { id: acmeNode.id } })).claims.filter(
      ({ fact }) => fact === 'audit',
    );
  expect(await audits(), 'what a node no more serves is not its audit').toEqual([]);
  await on.draft(acmeNode, 'models', [model]);
  expect(await audits()).toHaveLength(1);
  await eventually('the node is back', async () => {
    network.clock.advance(60_000);
    return (await on.standing('audited', acmeNode)).state === 'active';
  });
  await on.revoke(renewed.claim.id);
  expect((await on.standing('audited', acmeNode)).state).toBe('suspended');
  expect(
    await refusal(on.post(on.sign(auditor, { ...about, value: { digest: `sha256:${'b'.repeat(64)}` } }))),
  ).toMatchObject({
    code: 'client.invalid_request',
  });
});

test('an audit grows too old by time alone', async () => {
  const yearly = await on.attester('yearly', ['audit']);
  const digest = `sha256:${'d'.repeat(64)}`;
  const model = { id: 'test-model', digest, quantization: null, modalities: null, contextLength: null };
  await on.draft(node, 'models', [model]);
  await on.pool('fresh', {}, { models: { allow: [{ id: 'test-model', audited: { by: ['yearly'], maxAge: '1h' } }] } });
  await on.post(on.sign(yearly, { subject: { digest }, fact: 'audit', value: { digest } }));
  await network.serving('fresh', node);
  network.clock.advance(HOUR_MS + 1);
  await eventually('the audit is too old', async () => (await on.standing('fresh', node)).state === 'suspended');
});

test('revoking an attester revokes its claims: members are suspended before the 200, and its key never returns', async () => {
  const brief = await on.attester('brief', ['stake']);
  await on.pool('staked', { trust: { stake: { min: '10 CREDIT' }, by: ['brief'] } });
  await on.post(on.sign(brief, { subject: { node: node.id }, fact: 'stake', value: '10 CREDIT' }));
  await network.serving('staked', node);
  const before = await refusal(acme.call('revokeAttester', { params: { name: 'brief' } }));
  const nowhere = await refusal(acme.call('revokeAttester', { params: { name: 'brief2' } }));
  expect(before.message.replace('brief', 'X')).toBe(nowhere.message.replace('brief2', 'X'));
  expect((await network.admin.call('revokeAttester', { params: { name: 'brief' } })).complete).toBe(true);
  expect(await on.standing('staked', node)).toMatchObject({ state: 'suspended', reason: 'nodes.trust.stake' });
  const late = on.sign(brief, { subject: { node: node.id }, fact: 'stake', value: '11 CREDIT' });
  expect((await refusal(on.post(late))).code).toBe('policy.claim_refused');
  const reused = { name: 'brief-again', publicKey: brief.key.publicKey, facts: ['stake' as const] };
  expect((await refusal(network.admin.call('createAttester', { body: reused }))).code).toBe('client.conflict');
});

test('a revoked declaration stays revoked when it is said again, until the admin lifts it', async () => {
  await on.pool('golden', { labels: { tier: 'gold' } });
  await network.serving('golden', node);
  const claims = async () => (await network.admin.call('getNode', { params: { id: node.id } })).claims;
  const labels = (await claims()).find(({ fact }) => fact === 'labels');
  const evidence = await network.admin.call('getClaim', { params: { id: labels?.id ?? '' } });
  const { publicKey } = await network.admin.call('getNode', { params: { id: node.id } });
  expect(openDocument(evidence.evidence as SignedDocument, 'declaration', publicKey).labels).toEqual({ tier: 'gold' });

  await on.revoke(labels?.id ?? '');
  expect((await on.standing('golden', node)).state).toBe('suspended');
  await node.stop();
  await node.start();
  await network.serving('global', node);
  expect((await claims()).filter(({ fact }) => fact === 'labels')).toEqual([]);
  await network.restartControl();
  await node.stop();
  await node.start();
  await network.serving('global', node);
  expect((await claims()).filter(({ fact }) => fact === 'labels')).toEqual([]);

  await network.admin.call('restoreClaim', { params: { id: labels?.id ?? '' } });
  expect((await claims()).filter(({ fact }) => fact === 'labels').map(({ value }) => value)).toEqual([
    { tier: 'gold' },
  ]);
});

test('a restart of control keeps every claim, attester and revocation', async () => {
  await on.draft(node, 'operatorSeat', { country: 'DE' });
  const everything = async () => ({
    claims: (await network.admin.call('listClaims', { query: { revoked: 'true', limit: 1000 } })).items
      .filter(({ source }) => source === 'attested')
      .map(({ counted: _counted, why: _why, ...claim }) => claim),
    attesters: await network.admin.call('listAttesters', {}),
  });
  const before = await everything();
  expect(before.claims.length).toBeGreaterThan(8);
  await network.restartControl();
  await network.serving('global', node);
  expect(await everything()).toEqual(before);
});

test('who may not know of a claim gets the same bytes as for one that does not exist; its subject only reads', async () => {
  const { claim } = await on.draft(acmeNode, 'operatorSeat', { country: 'FR' });
  const nowhere = `clm_${'0'.repeat(20)}`;
  for (const name of ['getClaim', 'revokeClaim'] as const) {
    const there = await refusal(stranger.call(name, { params: { id: claim.id } }));
    const none = await refusal(stranger.call(name, { params: { id: nowhere } }));
    expect({ ...there, message: there.message.replace(claim.id, 'ID') }).toEqual({
      ...none,
      message: none.message.replace(nowhere, 'ID'),
    });
    expect(there.code).toBe('client.not_found');
  }
  expect((await stranger.call('listClaims', {})).items).toEqual([]);
  expect((await refusal(stranger.call('listClaims', { query: { node: node.id } }))).code).toBe('client.not_found');
  expect((await acme.call('getClaim', { params: { id: claim.id } })).id).toBe(claim.id);
  expect((await refusal(acme.call('revokeClaim', { params: { id: claim.id } }))).code).toBe('policy.forbidden');
  const mine = await acme.call('listClaims', { query: { revoked: 'true', limit: 1000 } });
  expect(mine.items.filter((item) => item.node === node.id)).toEqual([]);
});
