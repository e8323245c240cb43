/** A gateway that is a process of its own, maybe one of several workers: what that adds to it. */
import { systemClock } from '@subcloud/kit/clock';
import { type GatewayRunOptions, type RunningGateway, runGateway } from './run.ts';

const USAGE_LOOK_MS = 100;

/** `fail`: it cannot go on, since the port that it shares was taken by another program while it was away. */
export async function runProcess(options: GatewayRunOptions, fail: (error: Error) => void): Promise<RunningGateway> {
  const gateway = await runGateway(options);
  // It has been started for its journal alone.
  while (options.config.joins === 'never' && !gateway.usageStored()) await systemClock.sleep(USAGE_LOOK_MS);
  gateway.joinFailed.catch(fail);
  return gateway;
}
