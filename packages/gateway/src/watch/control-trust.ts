/**
 * The network that this gateway belongs to, kept in its folder: written once, when it enrols. The token is spent then;
 * what proves the gateway afterwards is its key alone.
 */
import { join } from 'node:path';
import {
  CONTROL_PATHS,
  type GatewayEnrolmentRequest,
  gatewayEnrolmentResponse,
} from '@subcloud/contract/control-channel';
import { type Clock, type Random, jitteredBackoffMs } from '@subcloud/kit/clock';
import { ConfigError } from '@subcloud/kit/config';
import { readFileIfPresent, writeFileDurably } from '@subcloud/kit/files';
import type { Log } from '@subcloud/kit/log';
import { parseGatewayToken } from '@subcloud/kit/secrets';
import { StartError } from '@subcloud/kit/start-error';
import * as z from 'zod';
import type { GatewayKeys } from '../link/gateway-identity.ts';
import { postOn } from './control-client.ts';
import { UntrustedControl, controlDialer } from './control-dial.ts';
import { ControlRefusal } from './control-refusal.ts';

const trustFile = z.strictObject({
  version: z.literal(1),
  networkId: z.string(),
  /** SHA-256 of the network's key, hex. */
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  gateway: z.string(),
});
export type ControlTrust = z.infer<typeof trustFile>;

export interface EnrolOptions {
  readonly dataDir: string;
  readonly url: URL;
  readonly token: string | undefined;
  readonly keys: GatewayKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const ENROL_FOR_MS = 30_000;
const BACKOFF = { baseMs: 250, capMs: 3_000 };

/**
 * The network of this folder; enrols with the token where it has none yet. Throws ConfigError or StartError with what is
 * wrong with token, folder or control; while control is away it is tried for ENROL_FOR_MS.
 */
export async function joinNetwork(options: EnrolOptions): Promise<ControlTrust> {
  const path = join(options.dataDir, 'network.json');
  const token = options.token === undefined ? undefined : parseGatewayToken(options.token);
  if (options.token !== undefined && token === undefined)
    throw new ConfigError(['--gateway-token: this is no gateway token, or it was not copied whole']);
  const known = load(path);
  if (known !== undefined) {
    if (known.gateway !== options.keys.id)
      throw damaged(`${path} is of gateway ${known.gateway}, this folder of ${options.keys.id}.`);
    if (token !== undefined && token.fingerprint !== known.fingerprint)
      throw new ConfigError([
        `--gateway-token: it is of another network than the one this folder belongs to (${known.networkId}): use an empty --data-dir`,
      ]);
    return known;
  }
  if (token === undefined)
    throw new StartError({
      code: 'config.not_enrolled',
      happened: 'This gateway is not enrolled yet, and has no token to enrol with.',
      next: 'Give it one as SUBCLOUD_GATEWAY_TOKEN; the admin makes it with `subcloud gateway-token create`.',
    });
  const networkId = await enrol(options, token);
  const trust: ControlTrust = {
    version: 1,
    networkId,
    fingerprint: token.fingerprint,
    gateway: options.keys.id,
  };
  writeFileDurably(path, `${JSON.stringify(trust)}\n`);
  return trust;
}

function load(path: string): ControlTrust | undefined {
  const text = readFileIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return trustFile.parse(JSON.parse(text));
  } catch {
    throw damaged(`${path} is damaged.`);
  }
}

function damaged(message: string): StartError {
  const next = 'Restore the folder, or enrol this machine anew from an empty one.';
  return new StartError({ code: 'config.folder_damaged', happened: message, next });
}

async function enrol(
  options: EnrolOptions,
  token: { readonly secret: string; readonly fingerprint: string },
): Promise<string> {
  const { clock, keys, url, log, random } = options;
  const dialer = controlDialer({
    url,
    key: keys.key,
    fingerprint: token.fingerprint,
    clock,
    nowMs: () => clock.nowMs(),
  });
  const asked: GatewayEnrolmentRequest = { token: token.secret, gateway: keys.id };
  const endMs = clock.monotonicMs() + ENROL_FOR_MS;
  for (let attempt = 0; ; attempt += 1) {
    try {
      const socket = await dialer.dial('identity');
      const answer = gatewayEnrolmentResponse.parse(
        await postOn({ createConnection: () => socket }, CONTROL_PATHS.enrol, JSON.stringify(asked)),
      );
      return answer.networkId;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (error instanceof UntrustedControl)
        throw new StartError({
          code: 'config.untrusted',
          happened: `The gateway token was not sent: ${why}`,
          next: 'Check --control-url, and that the token is of that network; nothing in between may end TLS.',
          cause: error,
        });
      if (error instanceof ControlRefusal)
        throw new StartError({
          code: 'policy.join_refused',
          happened: `The gateway was not enrolled: ${why}`,
          next: 'Ask the admin of the network, who makes tokens with `subcloud gateway-token create`.',
          cause: error,
        });
      const pauseMs = jitteredBackoffMs(attempt, BACKOFF, random);
      if (clock.monotonicMs() + pauseMs >= endMs)
        throw new StartError({
          code: 'upstream.unreachable',
          happened: `The gateway was not enrolled: ${why}`,
          next: 'Start control with --gateways-host and --gateways-port, and check --control-url and what lies between.',
          cause: error,
        });
      log.warn({ why }, 'control cannot be reached yet; enrolment is tried again');
      await clock.sleep(pauseMs);
    }
  }
}
