import type { ServerResponse } from 'node:http';

export interface Readiness {
  readonly ready: boolean;
  readonly reason: 'ready' | 'starting' | 'table stale' | 'usage not writable' | 'draining';
  readonly tableVersion: number;
}

/** The process runs. */
export function sendHealth(response: ServerResponse): void {
  sendJson(response, 200, { status: 'ok' });
}

/** Requests can be served: there is a table, and the lease to serve by it. */
export function sendReadiness(response: ServerResponse, readiness: Readiness): void {
  sendJson(response, readiness.ready ? 200 : 503, readiness);
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
