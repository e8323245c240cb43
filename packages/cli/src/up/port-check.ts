import { type AddressInfo, createServer } from 'node:net';
import { CliError } from '../cli-error.ts';

/**
 * Finds out before anything heavy starts whether the address can be listened on. Resolves with the port, which for 0 is
 * one that is free at this moment. Throws CliError.
 */
export async function checkPort(host: string, port: number): Promise<number> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (error) {
    throw cannotListen(host, port, error);
  }
  const { port: free } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return free;
}

function cannotListen(host: string, port: number, error: unknown): CliError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'EADDRINUSE':
      return new CliError({
        code: 'config.port_taken',
        message: `Port ${port} on ${host} is taken by another program.`,
        next: 'Stop that program, or choose another port with --port N (0 takes a free one).',
        details: { host, port },
        cause: error,
      });
    case 'EACCES':
      return new CliError({
        code: 'config.port_forbidden',
        message: `This user may not listen on port ${port}.`,
        next: 'Choose a port from 1024 on with --port N.',
        details: { host, port },
        cause: error,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new CliError({
        code: 'config.no_such_address',
        message: `${host} is no address of this machine.`,
        next: 'Choose one of its addresses with --host, or 0.0.0.0 for all of them.',
        details: { host, port },
        cause: error,
      });
    default:
      return new CliError({
        code: 'config.cannot_listen',
        message: `Nothing can listen on ${host}, port ${port} (${code === '' ? String(error) : code}).`,
        next: 'Choose another address with --host or another port with --port.',
        cause: error,
      });
  }
}
