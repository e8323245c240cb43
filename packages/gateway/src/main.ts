/**
 * The gateway as a process of its own: options from the environment, one line when it listens, SIGTERM to drain.
 * As one of several workers it is told more than users can say (`workerProcessOptions`).
 */
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { createLog } from '@subcloud/kit/log';
import { gatewayOptions, workerProcessOptions } from './config.ts';
import { runGateway } from './run.ts';

const USAGE_LOOK_MS = 100;

try {
  const config = loadConfig({ ...gatewayOptions, ...workerProcessOptions }, { env: process.env });
  const log = createLog('gateway', config.logLevel);
  const gateway = await runGateway({ config, clock: systemClock, random: systemRandom, log });
  // It has been started for its journal alone.
  while (config.joins === 'never' && !gateway.usageStored()) await systemClock.sleep(USAGE_LOOK_MS);
  const { url, port, ownPort, id, tlsKeySha256, certificateFile } = gateway;
  process.stdout.write(`${JSON.stringify({ ready: { url, port, ownPort, id, tlsKeySha256, certificateFile } })}\n`);
  const stop = (): void =>
    void gateway.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  gateway.joinFailed.catch((error: unknown) => {
    log.error({ err: error }, 'the shared port cannot be had');
    process.exit(1);
  });
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(event, stop);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
