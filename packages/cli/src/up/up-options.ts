import { type ConfigOf, type OptionSpecs, loadConfig } from '@subcloud/kit/config';
import { LOG_LEVELS } from '@subcloud/kit/log';
import * as z from 'zod';
import { workerOptions } from '@subcloud/gateway/supervise';
import { configFault } from '../config-fault.ts';
import { DEFAULT_DATA_DIR } from '../find-network.ts';

/** What `subcloud up` can be told, by flag or by environment. Further settings of a service pass through by environment. */
export const upOptions = {
  port: {
    schema: z.coerce.number().int().min(0).max(65_535).default(7700),
    help: 'Port of the network; 0 takes a free one.',
  },
  host: {
    schema: z.string().min(1).max(255).default('127.0.0.1'),
    help: 'Address to listen on; off loopback everything is TLS.',
  },
  data: { schema: z.string().min(1).default(DEFAULT_DATA_DIR), help: 'Folder of everything that is kept.' },
  publicUrl: {
    schema: z.url({ protocol: /^https?$/ }).optional(),
    help: 'Address under which others reach the network, where it is not the one listened on.',
  },
  behindProxy: {
    schema: z.string().min(1).max(4_096).optional(),
    help: "Ranges in CIDR form, comma between, of the proxies in front; their word on addresses counts, and nobody else's.",
  },
  tlsCertificate: {
    schema: z.string().min(1).max(4_096).optional(),
    help: 'PEM file of a TLS certificate with its chain; default: one that is made here.',
  },
  tlsKey: { schema: z.string().min(1).max(4_096).optional(), help: "PEM file of the certificate's private key." },
  ...workerOptions,
  databaseUrl: {
    schema: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
    help: 'A PostgreSQL (15 or newer) of your own, by environment only; default: one is started from the data folder.',
    secret: true,
  },
  noDemo: { schema: z.boolean().default(false), help: 'Start without the demo engine and its node.', boolean: true },
  logLevel: { schema: z.enum(LOG_LEVELS).default('warn'), help: `What stderr shows: ${LOG_LEVELS.join(', ')}.` },
} as const satisfies OptionSpecs;
export type UpConfig = ConfigOf<typeof upOptions>;

/** Throws CliError with every fault. */
export function loadUpConfig(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): UpConfig {
  try {
    return loadConfig(upOptions, { flags, env });
  } catch (error) {
    throw configFault(error, 'subcloud up --help');
  }
}
