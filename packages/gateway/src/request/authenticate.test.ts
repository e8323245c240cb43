import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { hashSecret, newSecret } from '@subcloud/kit/secrets';
import { expect, test } from 'vitest';
import { credentialHash } from './authenticate.ts';

function saying(socket: Socket, authorization: string | undefined): Pick<IncomingMessage, 'headers' | 'socket'> {
  return { socket, headers: authorization === undefined ? {} : { authorization } };
}

test('each request on a connection is known by what it says itself, whatever was said there before', () => {
  const socket = new Socket();
  const [one, other] = [newSecret('account'), newSecret('subcloud')];
  for (const secret of [one, one, other, one, other, other])
    expect(credentialHash(saying(socket, `Bearer ${secret}`))).toBe(hashSecret(secret));
  for (const authorization of [
    undefined,
    '',
    'Bearer',
    `Basic ${one}`,
    `Bearer ${one}x`,
    `Bearer ${newSecret('join')}`,
  ]) {
    expect(() => credentialHash(saying(socket, authorization))).toThrow();
    expect(credentialHash(saying(socket, `bearer  ${other}`))).toBe(hashSecret(other));
  }
});
