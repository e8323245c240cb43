/** The gateway as a process of its own: options from the environment, one line when it listens, SIGTERM to drain. */
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { createLog } from '@subcloud/kit/log';
import { gatewayOptions } from './config.ts';
import { runGateway } from './run.ts';

try {
  const config = loadConfig(gatewayOptions, { env: process.env });
  const log = createLog('gateway', config.logLevel);
  const gateway = await runGateway({ config, clock: systemClock, random: systemRandom, log });
  const { url, port, id, tlsKeySha256, certificateFile } = gateway;
  process.stdout.write(`${JSON.stringify({ ready: { url, port, id, tlsKeySha256, certificateFile } })}\n`);
  const stop = (): void =>
    void gateway.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(event, stop);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
