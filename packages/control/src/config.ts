/** Control's options: the one schema for flags, environment and help. */
import { CONTROL_DEFAULT_PORT } from '@subcloud/contract/control-channel';
import * as z from 'zod';
import { type ConfigOf, loadConfig } from '@subcloud/kit/config';
import { LOG_LEVELS } from '@subcloud/kit/log';
import { isFetchable } from './facts/fetch-text.ts';

export const controlOptions = {
  dataDir: { schema: z.string().min(1), help: 'Folder of keys, credentials and sockets (0700)' },
  databaseUrl: { schema: z.string().min(1), help: 'PostgreSQL 15 or newer, as a connection string', secret: true },
  gatewaysHost: {
    schema: z.string().min(1).max(253).optional(),
    help: 'Address on which gateways of other machines reach control, over mutual TLS; without it only those that share its folder do',
  },
  gatewaysPort: {
    schema: z.coerce.number().int().min(0).max(65_535).default(CONTROL_DEFAULT_PORT),
    help: 'TCP port of that address; 0: any free one',
  },
  nvidiaJwksUrl: {
    schema: z.string().max(512).refine(isFetchable, 'must be https, or http on loopback').optional(),
    help: 'Address of the key set of the NVIDIA attestation service; without it no such attestation is taken',
  },
  nvidiaIssuer: {
    schema: z.string().min(1).max(512).default('https://nras.attestation.nvidia.com'),
    help: 'Issuer that its tokens must name',
  },
  nvidiaAudience: {
    schema: z.string().min(1).max(512).optional(),
    help: 'Audience that its tokens must name; default: none is asked for',
  },
  auditMirror: {
    schema: z.string().min(1).max(4_096).optional(),
    help: 'Copy of the audit log that a restore needs, best on another disk; default: audit/mirror.jsonl in the data folder',
  },
  agentFile: {
    schema: z.string().min(1).max(4_096).optional(),
    help: 'The agent as one file, handed out at /agent.mjs; `subcloud` makes it and says where it is',
  },
  publicUrl: {
    schema: z
      .url({ protocol: /^https?$/ })
      .max(512)
      .optional(),
    help: 'Address of this network as browsers reach it; needed with an OpenID provider',
  },
  oidcIssuer: {
    schema: z.string().max(512).refine(isFetchable, 'must be https, or http on loopback').optional(),
    help: 'Issuer of the OpenID provider by which people may sign in besides',
  },
  oidcClientId: { schema: z.string().min(1).max(512).optional(), help: 'What this network is at the OpenID provider' },
  oidcClientSecret: { schema: z.string().min(1).max(1_024).optional(), help: 'Its secret there', secret: true },
  oidcName: { schema: z.string().min(1).max(64).default('single sign-on'), help: 'What people call the provider' },
  logLevel: { schema: z.enum(LOG_LEVELS).default('info'), help: `One of ${LOG_LEVELS.join(', ')}` },
} as const;

export type ControlConfig = ConfigOf<typeof controlOptions>;

/** Throws ConfigError with every fault. */
export function loadControlConfig(
  env: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Record<string, unknown>> = {},
): ControlConfig {
  return loadConfig(controlOptions, { env, flags });
}
