import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { readFileSync } from 'node:fs';
import { linkGatewayHello, linkTranscript } from '@subcloud/contract/link';
import { tlsKeySha256 } from '@subcloud/kit/tls-certificate';
import { openChain, openSignedByChain, verifyText } from '@subcloud/kit/signing';
import { MODEL, startTestGateway } from '@subcloud/testkit/test-gateway';
import { describe, expect, test } from 'vitest';
import { connectionsWithin } from './listen.ts';

const OFF_LOOPBACK = { config: { host: '0.0.0.0' } };

test('off loopback everything is TLS, the certificate names its key, and a link is bound to the channel', async () => {
  await using t = await startTestGateway({ config: { ...OFF_LOOPBACK.config, publicUrl: undefined } });
  expect(t.gateway.url).toMatch(/^https:/);
  const node = await t.node({ fingerprint: t.control.networkKey.fingerprint });
  const certificate = JSON.parse(node.hello.certificate.body) as { tlsKeySha256: string };
  expect(certificate.tlsKeySha256).toBe(t.gateway.tlsKeySha256);
  expect(tlsKeySha256(readFileSync(t.gateway.certificateFile ?? '', 'utf8'))).toBe(t.gateway.tlsKeySha256);
  expect((await t.call()).status).toBe(200);
});

test('its certificate is kept over a restart', async () => {
  await using t = await startTestGateway(OFF_LOOPBACK);
  const before = [t.gateway.tlsKeySha256, t.gateway.id];
  await t.restart();
  expect([t.gateway.tlsKeySha256, t.gateway.id]).toEqual(before);
});

test('an agent that enrols can check the gateway by a question of its own', async () => {
  await using t = await startTestGateway();
  const nonce = 'n'.repeat(43);
  const reply = await t.call({ path: `/link/identity?nonce=${nonce}`, method: 'GET', key: null });
  const hello = linkGatewayHello.parse(JSON.parse(reply.text));
  const signers = openChain(hello.chain, t.control.networkKey.fingerprint, Date.now());
  const certificate = openSignedByChain(hello.certificate, 'gateway', signers, Date.now());
  const transcript = {
    nodeId: '',
    agentNonce: nonce,
    gatewayNonce: hello.nonce,
    gatewayKey: certificate.publicKey,
    channel: 'plain',
  };
  expect(verifyText(certificate.publicKey, linkTranscript('identity', transcript), hello.signature)).toBe(true);
  expect(verifyText(certificate.publicKey, linkTranscript('gateway', transcript), hello.signature)).toBe(false);
  expect((await t.call({ path: '/link/identity?nonce=x', method: 'GET' })).status).toBe(400);
});

test('TLS 1.2 is enough for a caller and not for a link', async () => {
  await using t = await startTestGateway(OFF_LOOPBACK);
  const socket = connectTls({
    port: t.gateway.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.2',
  });
  socket.write(
    `GET /link HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: subcloud-link\r\nx-subcloud-link-version: 1\r\nx-subcloud-node: nod_a\r\nx-subcloud-nonce: ${'n'.repeat(43)}\r\n\r\n`,
  );
  const answer = await new Promise<string>((resolve) =>
    socket.once('data', (data: Buffer) => resolve(data.toString())),
  );
  expect(answer).toMatch(/^HTTP\/1\.1 426 /);
  socket.destroy();
});

test.each([
  [`GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'client.headers_too_large'],
  [
    'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
    'client.invalid_request',
  ],
  ['nonsense\r\n\r\n', 400, 'client.invalid_request'],
])('what is no sound HTTP is refused in the same form as all else: %#', async (text, status, code) => {
  await using t = await startTestGateway();
  const socket = connect(t.gateway.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(text);
  const answer = await new Promise<string>((resolve) =>
    socket.once('data', (data: Buffer) => resolve(data.toString())),
  );
  expect(answer.startsWith(`HTTP/1.1 ${status} `)).toBe(true);
  expect(answer).toContain(code);
  socket.destroy();
});

test('a port that is taken is said in one sentence', async () => {
  await using t = await startTestGateway();
  await expect(startTestGateway({ config: { port: t.gateway.port } })).rejects.toThrow(/is taken by another program/);
});

test('connections leave files for the gateway itself, whatever the limit', () => {
  expect(connectionsWithin(16_384, undefined)).toBe(16_384);
  expect(connectionsWithin(16_384, 20_000)).toBe(16_384);
  expect(connectionsWithin(16_384, 1_024)).toBe(960);
  expect(connectionsWithin(16_384, 20)).toBe(10);
  expect(connectionsWithin(5, 1_024)).toBe(5);
});

describe('what is no HTTP', () => {
  const JUNK = '{"a":1}\r\n\r\n';
  const health = (more = ''): string => `GET /healthz HTTP/1.1\r\nhost: x\r\n${more}\r\n`;
  const post = (path: string, more: string, body: string): string =>
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${more}\r\n${body}`;

  test.each([
    ['alone: one refusal', JUNK, ['400']],
    ['behind an answer that keeps the connection: a refusal of its own', health() + JUNK, ['200', '400']],
    ['behind an answer that closes it: nothing more is said', post('/admin', '', JUNK), ['404']],
    ['behind an answer to who asked to close it: nothing more', health('connection: close\r\n') + JUNK, ['200']],
  ])('%s', async (_, bytes, statuses) => {
    await using t = await startTestGateway();
    expect(await statusesOf(t.gateway.port, bytes)).toEqual(statuses);
  });

  test('in the body of a request: the answer to that request', async () => {
    await using t = await startTestGateway();
    const headers = `authorization: Bearer ${t.key}\r\ntransfer-encoding: chunked\r\n`;
    expect(await statusesOf(t.gateway.port, post('/v1/chat/completions', headers, 'zz\r\n'))).toEqual(['400']);
  });

  test('behind a request that is not answered yet: nothing that could be taken for its answer', async () => {
    await using t = await startTestGateway();
    const body = JSON.stringify({ model: MODEL, messages: [] });
    const headers = `authorization: Bearer ${t.key}\r\ncontent-length: ${body.length}\r\n`;
    await t.node({ handler: () => undefined });
    expect(await statusesOf(t.gateway.port, post('/v1/chat/completions', headers, body + JUNK))).toEqual([]);
  });
});

/** Of all answers to these bytes, until the gateway ends the connection. */
async function statusesOf(port: number, bytes: string): Promise<readonly (string | undefined)[]> {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (part) => (said += String(part))).on('error', () => undefined);
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return [...said.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);
}
