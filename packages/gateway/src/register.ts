/**
 * Every route of the public port, in the order in which they are tried. Inference comes first, since it is what the port
 * is for and each comparison is paid by every request; control's pages come last, since `/` is the widest of them.
 * Paths are compared as they were sent: nothing is decoded, so nothing can decode to another path.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { AppError } from '@subcloud/contract/errors';
import { INFERENCE_PATHS, MODEL_PATH_PREFIX, POOL_PATH_PREFIX } from '@subcloud/contract/inference';
import { LINK_IDENTITY_PATH } from '@subcloud/contract/link';
import { apiRoute, handleApi } from './apis/handle-api.ts';
import { type Readiness, sendHealth, sendReadiness } from './endpoints/health.ts';
import { sendIdentity } from './endpoints/link-identity.ts';
import { CONTROL_METRICS_PATH, METRICS_PATH, type MetricsEndpoint, mayRead, sendMetrics } from './endpoints/metrics.ts';
import type { PassThrough } from './endpoints/pass-through.ts';
import { clientAddress } from './front/client-address.ts';
import type { CertificateKeeper, GatewayKeys } from './link/gateway-identity.ts';
import { identityHeaders } from './request/answer-headers.ts';
import { handleInference } from './request/handler.ts';
import { identify } from './request/identify.ts';
import { listModels } from './request/list-models.ts';
import type { RequestDeps } from './request/request-deps.ts';
import { sendError } from './request/send-error.ts';

/** Of OpenAI's API, below a pool or not. */
const OPENAI_PREFIX = '/v1/';

export interface Routes {
  readonly requests: RequestDeps;
  readonly identity: { readonly keys: GatewayKeys; readonly certificates: CertificateKeeper };
  readonly control: PassThrough;
  readonly metrics: MetricsEndpoint;
  readonly readiness: () => Readiness;
  /** Then nothing but health is told to whoever the proxy does not name. */
  readonly behindProxy: boolean;
}

export function requestListener(routes: Routes): RequestListener {
  return (request, response) => {
    const url = request.url ?? '';
    const queryAt = url.indexOf('?');
    const path = queryAt === -1 ? url : url.slice(0, queryAt);
    if (routes.behindProxy && !isHealth(path) && refusedUnnamed(request, response)) return;
    if (inference(routes, request, response, path)) return;
    const split = splitPool(path);
    const api = apiRoute(split.poolName, split.path, queryAt === -1 ? '' : url.slice(queryAt));
    if (api !== undefined) return void handleApi(routes.requests, request, response, api);
    switch (path) {
      case '/healthz':
        return sendHealth(response);
      case '/readyz':
        return sendReadiness(response, routes.readiness());
      case METRICS_PATH:
        return sendMetrics(request, response, routes.metrics);
      case CONTROL_METRICS_PATH:
        if (mayRead(request, response, routes.metrics)) routes.control.pass(request, response);
        return;
      case LINK_IDENTITY_PATH:
        return sendIdentity(request, response, queryAt === -1 ? '' : url.slice(queryAt + 1), routes.identity);
      default:
        if (routes.control.matches(path)) return routes.control.pass(request, response);
        refusePath(routes.requests, request, response, unknownPath(path));
    }
  };
}

/** What a balancer asks on its own account. */
function isHealth(path: string): boolean {
  return path === '/healthz' || path === '/readyz';
}

function refusedUnnamed(request: IncomingMessage, response: ServerResponse): boolean {
  try {
    clientAddress(request);
    return false;
  } catch (error) {
    response.shouldKeepAlive = request.complete;
    sendError(response, AppError.from(error));
    return true;
  }
}

/** Whether the path was one of the contract's, with or without a pool in front. */
function inference(routes: Routes, request: IncomingMessage, response: ServerResponse, path: string): boolean {
  const { poolName, path: below } = splitPool(path);
  const sameRoute = INFERENCE_PATHS.find((known) => known.path === below);
  const encodedId = below.startsWith(MODEL_PATH_PREFIX) ? below.slice(MODEL_PATH_PREFIX.length) : undefined;
  if (sameRoute === undefined && encodedId === undefined) return false;
  if (sameRoute?.forwarded === true) {
    // Never rejects: every fault of a stage ends as an answer.
    if (request.method === 'POST') void handleInference(routes.requests, request, response, { poolName, path: below });
    else refusePath(routes.requests, request, response, new AppError('client.method_not_allowed'), { allow: 'POST' });
  } else if (request.method === 'GET' || request.method === 'HEAD') {
    listModels(routes.requests, request, response, { poolName, encodedId });
  } else
    refusePath(routes.requests, request, response, new AppError('client.method_not_allowed'), { allow: 'GET, HEAD' });
  return true;
}

/** What is asked for by a path of OpenAI's that is not served is not a matter of the credential. */
function unknownPath(path: string): AppError {
  if (!splitPool(path).path.startsWith(OPENAI_PREFIX)) return new AppError('client.not_found');
  const served = INFERENCE_PATHS.map((known) => known.path).join(', ');
  return new AppError('client.not_found', { message: `This path is not served here. Of OpenAI's API are: ${served}.` });
}

/** Before anything is known of the caller; what is left of its body is not waited for. */
function refusePath(
  { clock }: Pick<RequestDeps, 'clock'>,
  request: IncomingMessage,
  response: ServerResponse,
  error: AppError,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (!request.complete) response.shouldKeepAlive = false;
  sendError(response, error, { ...identityHeaders(identify(request, clock)), ...headers });
}

/** `/s/NAME/v1/…` into its two parts; a path without a pool is itself. */
export function splitPool(path: string): { readonly poolName: string | undefined; readonly path: string } {
  if (!path.startsWith(POOL_PATH_PREFIX)) return { poolName: undefined, path };
  const slash = path.indexOf('/', POOL_PATH_PREFIX.length);
  if (slash === -1) return { poolName: undefined, path };
  return { poolName: path.slice(POOL_PATH_PREFIX.length, slash), path: path.slice(slash) };
}
