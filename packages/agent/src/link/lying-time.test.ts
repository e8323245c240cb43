import { startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { eventually } from '@subcloud/testkit/eventually';
import { expect, test } from 'vitest';

const HOUR_MS = 3_600_000;

test.each([
  ['beyond its certificate', 25 * HOUR_MS],
  ['just inside it', 23.99 * HOUR_MS],
  ['without end', 1e300],
])(
  'a gateway that says a time %s cannot keep the node from gateways for longer than its link lasts',
  async (_, ahead) => {
    await using gateway = await startPeerGateway();
    await using agent = await startTestAgent({ url: gateway.url, joinToken: gateway.joinToken, random: () => 0 });
    for (let round = 0; round < 3; round++) {
      const link = await gateway.link();
      link.send({ type: 'time', nowMs: Date.now() + ahead });
      // What it makes of that is its own; the gateway goes away.
      await new Promise((resolve) => setTimeout(resolve, 50));
      gateway.cut();
      await link.closed;
      const before = gateway.links.length;
      await eventually('it is linked again', () => gateway.links.length > before && agent.linked());
    }
    expect(agent.linked()).toBe(true);
  },
  60_000,
);
