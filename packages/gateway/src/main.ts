/** The gateway as a process of its own: options from the environment, one line when it listens, SIGTERM to drain. */
import { systemClock as clock, systemRandom as random } from '@subcloud/kit/clock';
import { loadConfig } from '@subcloud/kit/config';
import { createLog } from '@subcloud/kit/log';
import { cannotStartLine } from '@subcloud/kit/start-error';
import { gatewayOptions, workerProcessOptions } from './config.ts';
import { runProcess } from './run-process.ts';

const fail = (error: unknown): never => {
  const line = cannotStartLine(error);
  if (line !== undefined) process.stdout.write(line);
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
};
try {
  const config = loadConfig({ ...gatewayOptions, ...workerProcessOptions }, { env: process.env });
  const log = createLog('gateway', config.logLevel);
  const gateway = await runProcess({ config, clock, random, log, traceEnv: process.env }, fail);
  const { url, port, ownPort, id, tlsKeySha256, certificateFile } = gateway;
  process.stdout.write(`${JSON.stringify({ ready: { url, port, ownPort, id, tlsKeySha256, certificateFile } })}\n`);
  const stop = (): void => void gateway.stop().then(() => process.exit(0), fail);
  for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(event, stop);
} catch (error) {
  fail(error);
}
