/** Who this node is: what its folder says, or else a first enrolment, tried until it succeeds or is refused. */
import { type Clock, type Random, jitteredBackoffMs } from '@subcloud/kit/clock';
import { ConfigError } from '@subcloud/kit/config';
import type { Log } from '@subcloud/kit/log';
import { parseJoinToken } from '@subcloud/kit/secrets';
import type { SigningKey } from '@subcloud/kit/signing';
import { LinkError } from './link/link-error.ts';
import { type NodeStateStore, createNodeState, loadNodeState } from './state/node-state.ts';

const BACKOFF = { baseMs: 250, capMs: 30_000 };

export interface IdentifyOptions {
  readonly dataDir: string;
  readonly url: string;
  readonly joinToken: string | undefined;
  readonly name: string;
  readonly localAddress: string | undefined;
  readonly key: SigningKey;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Throws ConfigError where the operator must do something, LinkError where the network says no. */
export async function identify(options: IdentifyOptions): Promise<NodeStateStore> {
  const { dataDir, joinToken, clock, random, log, signal } = options;
  const known = loadNodeState(dataDir);
  const token = joinToken === undefined ? undefined : parseJoinToken(joinToken);
  if (known !== undefined) {
    if (token !== undefined && token.fingerprint !== known.fingerprint) {
      throw new ConfigError([
        `--data-dir: ${dataDir} belongs to a node of another network than the join token names. Give this network a folder of its own.`,
      ]);
    }
    return createNodeState(dataDir, known);
  }
  if (joinToken === undefined) {
    throw new ConfigError(['--join-token: the first start needs one; `subcloud join-token create` prints it.']);
  }
  // Needed once in a node's life; what it loads with it is no small part of an agent's memory.
  const { enrol } = await import('./enrol.ts');
  for (let attempt = 0; ; attempt++) {
    try {
      const state = createNodeState(dataDir, await enrol({ ...options, joinToken }));
      state.save({});
      log.info({ node: state.current.nodeId, operator: state.current.operator }, 'enrolled');
      return state;
    } catch (error) {
      if (!(error instanceof LinkError) || error.kind === 'refused' || signal.aborted) throw error;
      const delayMs = jitteredBackoffMs(attempt, BACKOFF, random);
      log.warn({ why: error.message, retryMs: Math.round(delayMs) }, 'not enrolled yet');
      await clock.sleep(delayMs, signal);
    }
  }
}
