/**
 * `/metrics`. It tells who uses what, so it answers only to the addresses that the operator lists (by default this
 * machine); to all others there is no such path. Behind a proxy the caller's address counts, as the proxy tells it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { AppError } from '@subcloud/contract/errors';
import { clientAddress } from '../front/client-address.ts';
import type { TrustedProxies } from '../front/trusted-proxies.ts';
import type { GatewayMetrics } from '../metrics/gateway-metrics.ts';
import { sendError } from '../request/send-error.ts';

export const METRICS_PATH = '/metrics';
/** Control's own page; control has no port, so it is read through a gateway. */
export const CONTROL_METRICS_PATH = '/metrics/control';

export interface MetricsEndpoint {
  readonly metrics: GatewayMetrics;
  /** Addresses that may read. */
  readonly readers: Pick<TrustedProxies, 'has'>;
}

/** Whether the metrics may be read by whom asks; where not, the answer is that of a path that does not exist. */
export function mayRead(request: IncomingMessage, response: ServerResponse, endpoint: MetricsEndpoint): boolean {
  if (!isReader(request, endpoint)) {
    sendError(response, new AppError('client.not_found'));
    return false;
  }
  if (request.method === 'GET') return true;
  sendError(response, new AppError('client.method_not_allowed'));
  return false;
}

export function sendMetrics(request: IncomingMessage, response: ServerResponse, endpoint: MetricsEndpoint): void {
  if (!mayRead(request, response, endpoint)) return;
  endpoint.metrics.text().then(
    (text) => {
      response.writeHead(200, {
        'content-type': endpoint.metrics.contentType,
        'content-length': Buffer.byteLength(text),
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
      response.end(text);
    },
    (error: unknown) => sendError(response, AppError.from(error)),
  );
}

function isReader(request: IncomingMessage, { readers }: MetricsEndpoint): boolean {
  try {
    const address = clientAddress(request);
    return isIP(address) !== 0 && readers.has(address);
  } catch {
    // A proxy that does not say for whom it asks.
    return false;
  }
}
