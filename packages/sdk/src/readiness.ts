import { type TransportOptions, createTransport } from './transport.ts';

const PROBE_IDLE_MS = 5_000;

/** Asks whether the gateway takes requests: `/readyz` answers 200. False where nothing answers. */
export async function isGatewayReady(options: TransportOptions): Promise<boolean> {
  const transport = createTransport(options);
  try {
    const answer = await transport.send({ method: 'GET', path: '/readyz', idleMs: PROBE_IDLE_MS });
    await answer.body.dump();
    return answer.statusCode === 200;
  } catch {
    return false;
  } finally {
    await transport.close();
  }
}
