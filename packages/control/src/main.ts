/** The control process: options from the environment, ready on stdout, SIGTERM or a vanished parent stops it. */
import { cannotStartLine } from '@subcloud/kit/start-error';
import { runControl, loadControlConfig } from './run.ts';

try {
  const control = await runControl({
    config: loadControlConfig(process.env),
    traceEnv: process.env,
    onStandby: () => void process.stdout.write(`${JSON.stringify({ standby: true })}\n`),
  });
  process.stdout.write(
    `${JSON.stringify({ ready: { networkId: control.networkId, fingerprint: control.fingerprint } })}\n`,
  );
  const stop = (): void => void control.stop().then(() => process.exit(0));
  process.once('SIGTERM', stop).once('SIGINT', stop).once('disconnect', stop);
} catch (error) {
  const line = cannotStartLine(error);
  if (line !== undefined) process.stdout.write(line);
  process.stderr.write(`control cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
