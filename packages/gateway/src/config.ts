import { isIP } from 'node:net';
import type { ConfigOf, OptionSpecs } from '@subcloud/kit/config';
import { LOG_LEVELS } from '@subcloud/kit/log';
import * as z from 'zod';
import { trustedProxies } from './front/trusted-proxies.ts';

const path = z.string().min(1).max(4_096);
/** In CIDR form, comma between. */
const ranges = z
  .string()
  .max(4_096)
  .transform((text, context) => {
    try {
      trustedProxies(text);
    } catch (error) {
      context.addIssue(error instanceof Error ? error.message : 'is no list of ranges');
    }
    return text;
  });

/** Every option of the gateway: environment variable, flag, default and help come from here. */
export const gatewayOptions = {
  dataDir: { schema: path.default('.subcloud'), help: "Folder of the gateway's key, certificate and usage journal." },
  host: {
    schema: z.string().min(1).max(253).default('127.0.0.1'),
    help: 'Address to listen on; off loopback it speaks TLS.',
  },
  port: {
    schema: z.coerce.number().int().min(0).max(65_535).default(7_700),
    help: 'TCP port to listen on; 0: any free one.',
  },
  controlDir: { schema: path.optional(), help: "Folder of control's Unix sockets (default: run in the data folder)." },
  controlUrl: {
    schema: z
      .url({ protocol: /^https$/ })
      .max(512)
      .optional(),
    help: 'Where control on another machine takes gateways: https://HOST:7710, its --gateways-host and port.',
  },
  gatewayToken: {
    schema: z.string().max(4_096).optional(),
    help: 'Token that enrols this gateway there, needed once; one for each worker, comma between.',
    secret: true,
  },
  tlsCertificate: {
    schema: path.optional(),
    help: 'PEM file of a TLS certificate with its chain; needs the key file.',
  },
  tlsKey: { schema: path.optional(), help: "PEM file of the TLS certificate's private key." },
  behindProxy: {
    schema: ranges.optional(),
    help: 'Ranges in CIDR form, comma between, of the proxies in front: PROXY protocol and X-Forwarded-For count from there, plain HTTP too.',
  },
  publicUrl: { schema: z.url().max(512).optional(), help: 'URL by which agents and callers reach this gateway.' },
  domain: {
    schema: z
      .string()
      .max(190)
      .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, 'must be a domain name in lower case')
      .optional(),
    help: 'Domain below which each Subcloud has a host of its name (NAME.DOMAIN).',
  },
  maxBufferedBytes: {
    schema: z.coerce.number().int().min(1_048_576).default(268_435_456),
    help: 'Bytes of request bodies held at once, over all callers.',
  },
  maxConnections: {
    schema: z.coerce.number().int().min(1).default(16_384),
    help: 'TCP connections taken at once, links of agents included.',
  },
  bodyTimeoutMs: {
    schema: z.coerce.number().int().min(100).default(60_000),
    help: 'Milliseconds in which a request body must have arrived.',
  },
  drainTimeoutMs: {
    schema: z.coerce.number().int().min(0).default(10_000),
    help: 'Milliseconds that answers under way get to finish when the gateway stops.',
  },
  metricsFrom: {
    schema: ranges.default('127.0.0.0/8,::1/128'),
    help: 'Ranges in CIDR form, comma between, of those who may read /metrics.',
  },
  traceNodes: {
    schema: z.stringbool().or(z.boolean()).default(false),
    help: 'Tells nodes which trace a request belongs to (traceparent): for fleets whose nodes are all yours.',
    boolean: true,
  },
  logLevel: { schema: z.enum(LOG_LEVELS).default('info'), help: `One of ${LOG_LEVELS.join(', ')}.` },
} as const satisfies OptionSpecs;

/** What one of several processes is told beside the options that it shares with the others. */
export const workerProcessOptions = {
  ownPort: { schema: z.coerce.number().int().min(0).max(65_535).optional(), help: 'TCP port of this worker alone.' },
  ownUrl: { schema: z.url().max(512).optional(), help: 'URL by which nodes reach that port.' },
  worker: { schema: z.coerce.number().int().min(1).optional(), help: 'Its number: a label of its metrics.' },
  joins: {
    schema: z.enum(['at once', 'when linked', 'never']).default('at once'),
    help: 'When it listens on the port that it shares; never: it only hands in its usage.',
  },
} as const satisfies OptionSpecs;

export type GatewayConfig = ConfigOf<typeof gatewayOptions> & Partial<ConfigOf<typeof workerProcessOptions>>;

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
