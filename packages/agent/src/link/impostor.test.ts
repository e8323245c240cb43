import { get } from 'node:http';
import { makeTlsCertificate } from '@subcloud/kit/tls-certificate';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { type Lie, type PeerGateway, startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { expect, test } from 'vitest';

const PLAIN_LIES: readonly [Lie, RegExp][] = [
  ['wrong-key', /did not prove/],
  ['wrong-network', /another network/],
  ['self-signed-certificate', /signed by no signing key/],
  ['expired-certificate', /expired/],
  ['replayed-hello', /did not prove/],
  ['reflected-signature', /did not prove/],
  ['other-channel', /did not prove/],
  ['other-tls-key', /https/],
];
const TLS_LIES: readonly [Lie, RegExp][] = [
  ['other-tls-key', /something in between ends TLS/],
  ['other-channel', /did not prove/],
  ['replayed-hello', /did not prove/],
];

function tls(): { key: string; cert: string } {
  const { certificate, privateKey } = makeTlsCertificate(['127.0.0.1'], Date.now());
  return { key: privateKey, cert: certificate };
}

async function neverLearnsTheToken(gateway: PeerGateway, lie: Lie, why: RegExp): Promise<void> {
  gateway.lie(lie);
  const secret = gateway.joinToken.split('.')[0] ?? 'none';
  await expect(startTestAgent({ url: gateway.url, joinToken: gateway.joinToken })).rejects.toThrow(why);
  expect(gateway.heard).toContain('/link/identity');
  expect(gateway.heard).not.toContain(secret);
  expect(gateway.enrolments).toEqual([]);
}

async function neverHearsAHello(gateway: PeerGateway, lie: Lie): Promise<void> {
  await using agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, random: () => 0.001 });
  await gateway.link();
  const links = gateway.links.length;
  const upgrades = gateway.upgrades;
  gateway.lie(lie);
  gateway.cut();
  await eventually('it tried again and again', () => gateway.upgrades >= upgrades + 3);
  expect(gateway.links).toHaveLength(links);
  expect(agent.linked()).toBe(false);
  gateway.lie(undefined);
  await eventually('an honest gateway has it back', () => agent.linked());
  expect(gateway.links.at(-1)?.helloHolds).toBe(true);
}

test.for(PLAIN_LIES)('an impostor with %s never receives the join token', async ([lie, why]) => {
  await using gateway = await startPeerGateway();
  await new Promise((resolve) => get(`${gateway.url}/link/identity?nonce=${'n'.repeat(43)}`, resolve));
  await neverLearnsTheToken(gateway, lie, why);
});

test.for(TLS_LIES)('over TLS, an impostor with %s never receives the join token', async ([lie, why]) => {
  await using gateway = await startPeerGateway({ tls: tls() });
  if (lie === 'replayed-hello') await (await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken })).stop();
  const before = gateway.enrolments.length;
  gateway.lie(lie);
  await expect(startTestAgent({ url: gateway.url, joinToken: gateway.joinToken })).rejects.toThrow(why);
  expect(gateway.enrolments).toHaveLength(before);
});

test.for(PLAIN_LIES.map(([lie]) => lie))('an impostor with %s never receives the hello of a node', async (lie) => {
  await using gateway = await startPeerGateway();
  await neverHearsAHello(gateway, lie);
});

test.for(TLS_LIES.map(([lie]) => lie))(
  'over TLS, an impostor with %s never receives the hello of a node',
  async (lie) => {
    await using gateway = await startPeerGateway({ tls: tls() });
    await neverHearsAHello(gateway, lie);
  },
);
