/** An NVIDIA attestation token on its way to a membership, from an issuer of our own on loopback. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, SignJWT, exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';

const ISSUER = 'https://nras.attestation.example';
let network: TestNetwork;
let node: TestNode;
let second: TestNode;
let privateKey: CryptoKey;
let jwk: object;
const service = createServer((_request, response) => response.end(JSON.stringify({ keys: [jwk] })));

beforeAll(async () => {
  const pair = await generateKeyPair('ES384');
  privateKey = pair.privateKey;
  jwk = { ...(await exportJWK(pair.publicKey)), kid: 'service' };
  await new Promise<void>((resolve) => {
    service.listen(0, '127.0.0.1', resolve);
  });
  const { port } = service.address() as AddressInfo;
  network = await startTestNetwork({
    control: { nvidiaJwksUrl: `http://127.0.0.1:${port}/jwks.json`, nvidiaIssuer: ISSUER },
  });
  const consent = { autoJoin: 'all' };
  node = await network.node({ name: 'confidential', consent });
  second = await network.node({ name: 'second', consent });
  await network.serving('global', node);
  await network.serving('global', second);
});
afterAll(async () => {
  await network[Symbol.asyncDispose]();
  service.closeAllConnections();
  service.close();
});

async function token(nonce: string, device = 'device-0'): Promise<[['JWT', string], Record<string, string>]> {
  const issuedAt = Math.floor(network.clock.nowMs() / 1_000);
  const common = { iss: ISSUER, iat: issuedAt, exp: issuedAt + 3_600, eat_nonce: nonce };
  const sign = (claims: object): Promise<string> =>
    new SignJWT({ ...common, ...claims }).setProtectedHeader({ alg: 'ES384', kid: 'service' }).sign(privateKey);
  const gpu = await sign({ measres: 'success', dbgstat: 'disabled', hwmodel: 'GH100 A01 GSP BROM', ueid: device });
  const digest = createHash('sha256').update(gpu).digest('hex');
  const submods = { 'GPU-0': ['DIGEST', ['SHA-256', digest]] };
  return [['JWT', await sign({ 'x-nvidia-overall-att-result': true, submods })], { 'GPU-0': gpu }];
}

test('a token makes a node eligible for as long as it holds; its device vouches for no other node meanwhile', async () => {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: 'confidential', owner: 'user:admin' },
    spec: {
      nodes: { hardware: { gpu: { confidential: true }, source: 'attested', by: ['nvidia'] } },
      participation: { mode: 'open', autoJoin: true },
    },
  });
  const { nonce } = await network.admin.call('nvidiaChallenge', { params: { id: node.id } });
  const made = await token(nonce);
  const { claim, change } = await network.admin.call('nvidiaAttestation', {
    params: { id: node.id },
    body: { token: made },
  });
  expect([change, claim.issuer, claim.source, claim.counted]).toEqual(['created', 'nvidia', 'attested', true]);
  await network.serving('confidential', node);
  const { evidence } = await network.admin.call('getClaim', { params: { id: claim.id } });
  expect((evidence as { token: unknown }).token).toEqual(made);

  const challenge = await network.admin.call('nvidiaChallenge', { params: { id: second.id } });
  const attestSecond = async (device: string) =>
    network.admin.call('nvidiaAttestation', {
      params: { id: second.id },
      body: { token: await token(challenge.nonce, device) },
    });
  await expect(attestSecond('device-0')).rejects.toMatchObject({ code: 'policy.claim_refused' });

  network.clock.advance(3_600_000 + 1_000);
  await eventually('the node is suspended', async () => {
    const found = await network.admin.call('explainNode', { params: { name: 'confidential', node: node.id } });
    return found.state === 'suspended' && found.reason === 'nodes.hardware';
  });
});

test('only the operator of a node asks for its nonce; to others it is as if there were none', async () => {
  const stranger = network.client(await network.principal('user:stranger'));
  const message = async (id: string): Promise<string> => {
    const error = await stranger.call('nvidiaChallenge', { params: { id } }).then(
      () => new Error('it was given'),
      (refused: unknown) => refused as Error,
    );
    return error.message.replace(id, 'ID');
  };
  expect(await message(node.id)).toBe(await message('nod_00000000000000000000'));
});

test('a huge token is refused before anything is read of it', async () => {
  const send = async (length: number): Promise<unknown> => {
    const response = await fetch(`${network.url}/api/v1/nodes/${node.id}/attestations/nvidia`, {
      method: 'POST',
      headers: { authorization: `Bearer ${network.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ token: [['JWT', 'x'.repeat(length)], {}] }),
    });
    return ((await response.json()) as { error: { code: unknown } }).error.code;
  };
  expect(await send(300_000)).toBe('client.too_large');
  expect(await send(20_000)).toBe('client.invalid_request');
  expect(await send(2_000)).toBe('policy.claim_refused');
});
