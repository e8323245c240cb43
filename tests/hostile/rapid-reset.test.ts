import { type Log, silentLog } from '@subcloud/kit/log';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';
import { expect, test } from 'vitest';
import { soundRequest } from './gateway-attacks.ts';
import { type HostileLink, requestHead, startHostileGateway } from './hostile-gateway.ts';
import { FRAME, frame, uint32 } from './http2-frames.ts';

const CANCEL = uint32(8);

function givenUp(link: HostileLink): Buffer {
  const stream = link.nextStream();
  return Buffer.concat([requestHead(stream), frame(FRAME.reset, 0, stream, CANCEL)]);
}

/**
 * Where nghttp2's own limit strikes, Node aborts the process when it collects the session, some connections later: so it
 * must never come to strike, and what ends the link is the agent's word.
 */
test('a gateway that opens requests and gives them up at once loses its link by the limit of the agent', async () => {
  await using gateway = await startHostileGateway();
  await using engine = await startScriptedEngine({ models: ['m'] });
  const reasons: unknown[] = [];
  const log: Log = {
    ...silentLog,
    warn: (...said: unknown[]) => void reasons.push((said[0] as { why?: unknown }).why),
    child: () => log,
  };
  await using _agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    untilLinked: false,
    random: () => 0,
    log,
    config: { engines: [{ url: engine.url }] },
  });
  const link = await gateway.link(true);
  let isClosed = false;
  void link.closed.then(() => (isClosed = true));
  while (!isClosed) {
    link.write(...Array.from({ length: 100 }, () => givenUp(link)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await soundRequest(gateway, 30_000);
  expect(reasons[0]).toBe('the gateway gives up too many requests');
}, 60_000);
