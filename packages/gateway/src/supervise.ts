/** What whoever starts gateways as processes needs of them, without the weight of a gateway. */
import type { ConfigOf, OptionSpecs } from '@subcloud/kit/config';
import * as z from 'zod';

export { type GatewayConfig, gatewayOptions } from './config.ts';
export { tlsOf } from './front/tls-files.ts';

/** As many links as an agent keeps. */
const MAX_WORKERS = 8;

export const workerOptions = {
  workers: {
    schema: z.coerce.number().int().min(1).max(MAX_WORKERS).default(1),
    help: `Processes that share the port, 1 to ${MAX_WORKERS} (a node keeps a link to each, and keeps ${MAX_WORKERS}).`,
  },
  workerPort: {
    schema: z.coerce.number().int().min(0).max(65_535).optional(),
    help: 'With several workers: the port of the first one alone, where nodes link; the others take the next ones (default: --port + 1; 0: any free ones).',
  },
  workerUrl: {
    schema: z.url().max(512).optional(),
    help: "With several workers: URL by which nodes reach the first one's own port; the others count its port up.",
  },
} as const satisfies OptionSpecs;

export type WorkerConfig = ConfigOf<typeof workerOptions>;
