import { join, resolve } from 'node:path';
import type { Clock, Random } from '@subcloud/kit/clock';
import { ConfigError } from '@subcloud/kit/config';
import type { Log } from '@subcloud/kit/log';
import type { GatewayConfig } from '../config.ts';
import type { GatewayKeys } from '../link/gateway-identity.ts';
import { controlDialer } from './control-dial.ts';
import { joinNetwork } from './control-trust.ts';
import { type ControlTransport, dialledTransport, socketTransport } from './control-transport.ts';

/** The way to control that the options name. Throws ConfigError for options that contradict each other, else what joinNetwork throws. */
export async function openControl(options: {
  readonly config: GatewayConfig;
  readonly dataDir: string;
  readonly keys: GatewayKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly nowMs: () => number;
}): Promise<ControlTransport> {
  const { config, dataDir, keys, clock } = options;
  if (config.controlUrl === undefined) {
    if (config.gatewayToken !== undefined)
      throw new ConfigError(['--gateway-token is for a control on another machine: name it with --control-url']);
    return socketTransport(resolve(config.controlDir ?? join(dataDir, 'run')));
  }
  if (config.controlDir !== undefined)
    throw new ConfigError(['--control-url and --control-dir name two ways to control: give one of them']);
  if (config.publicUrl === undefined && isWildcard(config.host))
    throw new ConfigError([
      `--host ${config.host} is no address that agents and callers could use: name one with --public-url https://HOST:${config.port}`,
    ]);
  const url = new URL(config.controlUrl);
  const { fingerprint } = await joinNetwork({ ...options, url, token: config.gatewayToken });
  const dialer = controlDialer({ url, key: keys.key, fingerprint, clock, nowMs: options.nowMs });
  return dialledTransport((channel) => dialer.dial(channel));
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
