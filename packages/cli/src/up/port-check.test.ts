import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { checkPort } from './port-check.ts';

test('a free port passes and stays free', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await expect(checkPort('127.0.0.1', port)).rejects.toMatchObject({
    code: 'config.port_taken',
    message: expect.stringContaining(String(port)),
  });
  server.close();
  await once(server, 'close');
  await checkPort('127.0.0.1', port);
  await checkPort('127.0.0.1', port);
});

test('an address that is not of this machine is named', async () => {
  await expect(checkPort('192.0.2.1', 0)).rejects.toMatchObject({
    code: 'config.no_such_address',
    message: expect.stringContaining('192.0.2.1'),
  });
});
