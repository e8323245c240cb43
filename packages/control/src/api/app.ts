/**
 * The control API: every route of the contract on one Hono app. Order for each request: limits, who calls, may the route
 * be called at all, the shape of what was sent, the handler. Handlers decide about resources with `authorise`.
 */
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import * as z from 'zod';
import { AppError, toEnvelope } from '@subcloud/contract/errors';
import { controlRoutes } from '@subcloud/contract/routes/control';
import type { RouteSpec } from '@subcloud/contract/routes/route';
import { withdrawalStatus } from '@subcloud/contract/routes/withdrawal-status';
import { newId } from '@subcloud/kit/clock';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { type Who, identify } from '../access/actor.ts';
import { requireCredential } from '../access/authorise.ts';
import { isWrite } from '../audit/audited-writes.ts';
import { requireStorable } from './storable.ts';
import { type AnyHandler, routeAnswers } from './answer-route.ts';
import type { Loop } from '../loop.ts';
import { type Database, isStoreFault } from '../store/database.ts';
import type { AuditMirror } from '../backup/audit-mirror.ts';
import type { ControlSpans } from '../metrics/control-spans.ts';
import { CONTROL_METRICS_PATH, type ControlMetrics } from '../metrics/control-metrics.ts';
import { AGENT_FILE_PATH, agentFileHeaders } from './agent-file.ts';
import type { ApiContext, Handlers } from './context.ts';
import { DOCS_HEADERS, docsPage } from './docs-page.ts';
import { auditHandlers } from './handlers/audit.ts';
import { bindingHandlers } from './handlers/bindings.ts';
import { accountHandlers } from './handlers/accounts.ts';
import { claimsHandlers } from './handlers/claims.ts';
import { domainsHandlers } from './handlers/domains.ts';
import { drainHandlers } from './handlers/drains.ts';
import { eventHandlers } from './handlers/events.ts';
import { participationHandlers } from './handlers/participation.ts';
import { planHandlers } from './handlers/plan.ts';
import { enrolmentHandlers } from './handlers/enrolment.ts';
import { explainHandlers } from './handlers/explain.ts';
import { gatewayHandlers } from './handlers/gateways.ts';
import { loadHandlers } from './handlers/load.ts';
import { signingKeyHandlers } from './handlers/signing-keys.ts';
import { memberHandlers } from './handlers/members.ts';
import { networkHandlers } from './handlers/network.ts';
import { invitationHandlers } from './handlers/invitations.ts';
import { orgHandlers } from './handlers/orgs.ts';
import { ownershipHandlers } from './handlers/ownership.ts';
import { nodeHandlers } from './handlers/nodes.ts';
import { principalHandlers } from './handlers/principals.ts';
import { recordHandlers } from './handlers/records.ts';
import { networkManifestHandlers } from './handlers/network-manifest.ts';
import { subcloudHandlers } from './handlers/subclouds.ts';
import { quotaHandlers } from './handlers/quotas.ts';
import { tokenHandlers } from './handlers/tokens.ts';
import { clientAddressOf } from '../pages/browser.ts';
import { accountPages } from '../pages/pages.ts';
import type { EventStreams } from '../events/event-streams.ts';
import { openApiDocument } from './openapi.ts';
import { answerStream, wantsStream } from './answer-stream.ts';

const handlers: Handlers = {
  ...networkHandlers,
  ...nodeHandlers,
  ...enrolmentHandlers,
  ...principalHandlers,
  ...networkManifestHandlers,
  ...subcloudHandlers,
  ...memberHandlers,
  ...explainHandlers,
  ...tokenHandlers,
  ...recordHandlers,
  ...claimsHandlers,
  ...planHandlers,
  ...domainsHandlers,
  ...drainHandlers,
  ...eventHandlers,
  ...quotaHandlers,
  ...auditHandlers,
  ...accountHandlers,
  ...orgHandlers,
  ...invitationHandlers,
  ...ownershipHandlers,
  ...bindingHandlers,
  ...participationHandlers,
  ...gatewayHandlers,
  ...loadHandlers,
  ...signingKeyHandlers,
};

const DEFAULT_MAX_BODY_BYTES = 65_536;

export interface ApiOptions {
  readonly context: Omit<ApiContext, 'openapi' | 'db' | 'loop' | 'clock' | 'clientAddress' | 'events'>;
  readonly db: Database;
  readonly loop: Loop;
  readonly clock: Clock;
  readonly metrics: ControlMetrics;
  /** Undefined: nothing is traced. */
  readonly spans?: ControlSpans | undefined;
  readonly mirror: Pick<AuditMirror, 'caughtUp'>;
  readonly streams: EventStreams;
  readonly adminTokenHash: string;
  readonly log: Log;
}

export function createApi(options: ApiOptions): Hono {
  const { adminTokenHash, log, metrics } = options;
  const app = new Hono();
  const openapi = openApiDocument(options.context.version);
  const context: Omit<ApiContext, 'clientAddress'> = {
    ...options.context,
    events: options.streams,
    db: options.db,
    loop: options.loop,
    clock: options.clock,
    openapi,
  };
  const { loop, clock } = options;
  const answerOf = routeAnswers({
    context,
    db: options.db,
    loop,
    clock,
    handlers: handlers as unknown as Readonly<Record<string, AnyHandler>>,
  });

  app.onError((error, c) => failure(c, error, log));
  for (const [name, spec] of Object.entries(controlRoutes) as [keyof typeof controlRoutes, RouteSpec][]) {
    const limit = bodyLimit({
      maxSize: spec.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES,
      onError: (c) =>
        failure(
          c,
          new AppError('client.too_large', {
            message: `This route takes at most ${spec.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES} bytes.`,
          }),
          log,
        ),
    });
    app.on(
      spec.method.toUpperCase(),
      [spec.path.replace(/\{(\w+)\}/g, ':$1')],
      counted(spec, options),
      limit,
      async (c) => {
        const requestId = newId('req');
        c.header('x-request-id', requestId);
        const who = whoCalls(spec, () =>
          identify(loop.world, adminTokenHash, c.req.header('authorization'), clock.nowMs()),
        );
        const actor = { ...who, action: spec.action };
        requireCredential(loop.world, actor);
        if (spec.stream !== undefined && wantsStream(c))
          return answerStream(c, {
            world: loop.world,
            streams: options.streams,
            query: shaped(spec.query ?? z.strictObject({}), singleQuery(c), 'query'),
            actor: () => ({
              ...identify(loop.world, adminTokenHash, c.req.header('authorization'), clock.nowMs()),
              action: spec.action,
            }),
            requestId,
          });
        const answer = await answerOf({
          name,
          actor,
          requestId,
          clientAddress: clientAddressOf(c),
          reason: reasonOf(c),
          path: c.req.path,
          input: async () => ({
            ...(spec.params === undefined ? {} : { params: shaped(spec.params, c.req.param(), 'path') }),
            ...(spec.query === undefined ? {} : { query: shaped(spec.query, singleQuery(c), 'query') }),
            ...(spec.body === undefined ? {} : { body: shaped(spec.body, await jsonBody(c), 'body') }),
          }),
          idempotencyKey: c.req.header('idempotency-key'),
          credential: c.req.header('authorization') ?? '',
          preconditions: { ifMatch: c.req.header('if-match'), ifNoneMatch: c.req.header('if-none-match') },
          statusOf: (output) => withdrawalStatus(spec.status, spec.response, output),
        });
        // What was done is known beside the database before anybody is told of it.
        if (isWrite(spec)) await options.mirror.caughtUp();
        if (answer.etag !== undefined) c.header('etag', answer.etag);
        if (answer.replayed) c.header('idempotency-replayed', 'true');
        return c.body(answer.body, answer.status as 200, { 'content-type': 'application/json' });
      },
    );
  }
  app.route('/', accountPages({ ...context, db: options.db, loop, log, metrics, mirror: options.mirror }));
  const docs = docsPage(context.version);
  app.get('/docs', (c) => c.body(docs, 200, DOCS_HEADERS));
  app.get(AGENT_FILE_PATH, async (c) => {
    const content = await context.agentFile();
    const headers = agentFileHeaders(content);
    return c.req.header('if-none-match') === headers['etag']
      ? c.body(null, 304, headers)
      : c.body(content.bytes, 200, headers);
  });
  app.get(CONTROL_METRICS_PATH, async (c) =>
    c.body(
      await metrics.text(loop.world, context.pass.table.version, context.authority.ring.status(), clock.nowMs()),
      200,
      { 'content-type': metrics.contentType },
    ),
  );
  app.get('/', (c) => c.redirect('/docs', 302));
  app.notFound((c) =>
    failure(c, new AppError('client.not_found', { message: `There is no ${c.req.method} ${c.req.path}.` }), log),
  );
  return app;
}

/** A public route reads no credential, not even a wrong one; a join token stands in the body, where its handler checks it. */
function whoCalls({ auth }: RouteSpec, identified: () => Who): Who {
  switch (auth) {
    case 'public':
      return { kind: 'anonymous' };
    case 'join':
      return { kind: 'joinToken' };
    case 'credential':
      return identified();
  }
}

/** In the actor's own words, percent-encoded UTF-8: for the audit log. */
function reasonOf(c: Context): string | null {
  const text = c.req.header('x-subcloud-reason');
  if (text === undefined) return null;
  try {
    const reason = decodeURIComponent(text);
    if (reason.length <= 512) return reason;
  } catch {
    // Said below.
  }
  throw new AppError('client.invalid_request', {
    message: 'x-subcloud-reason: at most 512 characters, percent-encoded.',
    param: 'x-subcloud-reason',
  });
}

function shaped(schema: z.ZodType, value: unknown, where: string): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    requireStorable(parsed.data, where);
    return parsed.data;
  }
  const issue = parsed.error.issues[0];
  const path = issue?.path.map(String).join('.') ?? '';
  throw new AppError('client.invalid_request', {
    message: `${where}${path === '' ? '' : `.${path}`}: ${issue?.message ?? 'invalid'}`,
    ...(path === '' ? {} : { param: path }),
  });
}

function singleQuery(c: Context): Record<string, string> {
  const all = c.req.queries();
  const query: Record<string, string> = {};
  for (const [key, values] of Object.entries(all)) {
    if (values.length !== 1)
      throw new AppError('client.invalid_request', { message: `query.${key} stands twice.`, param: key });
    query[key] = values[0] ?? '';
  }
  return query;
}

async function jsonBody(c: Context): Promise<unknown> {
  const type = c.req.header('content-type') ?? '';
  if (!/^application\/json(?:\s*;\s*charset=utf-8)?$/i.test(type))
    throw new AppError('client.unsupported_media_type', { message: 'Send application/json.' });
  try {
    return await c.req.json();
  } catch (error) {
    if (error instanceof Error && error.name === 'BodyLimitError') throw error;
    throw new AppError('client.invalid_body', { message: 'The body is not JSON.' });
  }
}

function failure(c: Context, error: Error, log: Log): Response {
  if (error.name === 'BodyLimitError') return failure(c, new AppError('client.too_large'), log);
  const fault = isStoreFault(error)
    ? new AppError('platform.store_unavailable', { cause: error, retryAfterS: 2 })
    : AppError.from(error);
  const requestId = c.res.headers.get('x-request-id') ?? newId('req');
  if (fault.code === 'platform.internal' || fault.code === 'platform.store_unavailable')
    log.error({ err: error, requestId, method: c.req.method, path: c.req.routePath }, 'a request failed');
  c.header('x-request-id', requestId);
  if (fault.retryAfterS !== null) c.header('retry-after', String(fault.retryAfterS));
  return c.json(toEnvelope(fault), fault.status as 500);
}

/** Each call by its action and route, in metrics and in spans. */
function counted(
  { action, method, path: route }: RouteSpec,
  { metrics, spans, clock }: Pick<ApiOptions, 'metrics' | 'spans' | 'clock'>,
): MiddlewareHandler {
  return async (c, next) => {
    const startMs = clock.nowMs();
    await next();
    const { status } = c.res;
    metrics.called(action, status);
    const traceparent = c.req.header('traceparent');
    spans?.called({ action, method: method.toUpperCase(), route, status, startMs, traceparent });
  };
}
