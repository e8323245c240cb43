/**
 * One call of a route, from its checked caller to the answer's bytes: rights, shape, the rules that hold for every write
 * (audit, Idempotency-Key, If-Match), the handler, the entity tag.
 */
import type { AppError } from '@subcloud/contract/errors';
import { type ControlRouteName, controlRoutes } from '@subcloud/contract/routes/control';
import type { RouteSpec } from '@subcloud/contract/routes/route';
import type { Clock } from '@subcloud/kit/clock';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import { type Actor, actorName } from '../access/actor.ts';
import { permit } from '../access/authorise.ts';
import { auditedWrites, isWrite } from '../audit/audited-writes.ts';
import type { Loop } from '../loop.ts';
import type { Database } from '../store/database.ts';
import type { ApiContext } from './context.ts';
import { type IdempotentWrite, Replayed, type StoredAnswer, createIdempotencyKeys } from './idempotency.ts';
import { type Preconditions, etagOf, readerOf, requireCheckable, requireMatch } from './preconditions.ts';

export type AnyHandler = (context: ApiContext, input: object, actor: Actor) => unknown;

export interface RouteCall {
  readonly name: ControlRouteName;
  readonly actor: Actor;
  readonly requestId: string;
  readonly clientAddress: ApiContext['clientAddress'];
  readonly reason: string | null;
  /** Of the request; for the audit log where nothing better is known. */
  readonly path: string;
  /** Reads and checks path, query and body. */
  readonly input: () => Promise<{ readonly params?: unknown; readonly query?: unknown; readonly body?: unknown }>;
  readonly idempotencyKey: string | undefined;
  readonly credential: string;
  readonly preconditions: Preconditions;
  /** The status for an output. */
  readonly statusOf: (output: unknown) => number;
}

export interface RouteAnswer extends StoredAnswer {
  readonly etag: string | undefined;
  readonly replayed: boolean;
}

export function routeAnswers(options: {
  readonly context: Omit<ApiContext, 'clientAddress'>;
  readonly db: Database;
  readonly loop: Loop;
  readonly clock: Clock;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
}): (call: RouteCall) => Promise<RouteAnswer> {
  const { context, db, loop, clock, handlers } = options;
  const audited = auditedWrites({ db, loop, clock });
  const keys = createIdempotencyKeys(db, clock);

  /** The tag of what the caller would read at the path of the write, or undefined where it would read nothing. */
  const currentTag = async (reader: ControlRouteName, input: object, actor: Actor): Promise<string | undefined> => {
    try {
      const reading = { ...actor, action: controlRoutes[reader].action };
      return etagOf(reader, await handlers[reader]?.({ ...context, clientAddress: '' }, input, reading));
    } catch (error) {
      if (error instanceof Error && error.name === 'AppError' && (error as AppError).status < 500) return undefined;
      throw error;
    }
  };

  const read = async (call: RouteCall, handler: AnyHandler, spec: RouteSpec): Promise<RouteAnswer> => {
    permit(loop.world, call.actor);
    const output = await handler({ ...context, clientAddress: call.clientAddress }, await call.input(), call.actor);
    return {
      status: call.statusOf(output),
      body: JSON.stringify(output),
      etag: readerOf(spec) === call.name ? etagOf(call.name, output) : undefined,
      replayed: false,
    };
  };

  const write = async (call: RouteCall, handler: AnyHandler, spec: RouteSpec): Promise<RouteAnswer> => {
    const { actor, requestId, reason, preconditions, path } = call;
    let once: IdempotentWrite | undefined;
    let input: Awaited<ReturnType<RouteCall['input']>> = {};
    const guard = async (tx: Parameters<IdempotentWrite['take']>[0]): Promise<void> => {
      const { ifMatch, ifNoneMatch } = preconditions;
      const reader = readerOf(spec);
      if (reader !== undefined && (ifMatch !== undefined || ifNoneMatch !== undefined))
        requireMatch(preconditions, await currentTag(reader, readerInput(reader, input), actor));
      await once?.take(tx);
    };
    try {
      const output = await audited({ requestId, actor, action: spec.action, reason, guard }, path, async (writing) => {
        permit(loop.world, actor);
        input = await call.input();
        requireCheckable(spec, preconditions);
        if (call.idempotencyKey !== undefined) {
          const begun = await keys.begin({
            key: call.idempotencyKey,
            caller: actorName(actor),
            credential: call.credential,
            requestId,
            content: canonicalJson([call.name, input]),
          });
          if ('body' in begun) return new Replayed(begun);
          once = begun;
        }
        return handler({ ...context, clientAddress: call.clientAddress, loop: writing } as ApiContext, input, actor);
      });
      if (output instanceof Replayed) return { ...output.answer, etag: undefined, replayed: true };
      const answer = { status: call.statusOf(output), body: JSON.stringify(output) };
      await once?.store(answer);
      return { ...answer, etag: undefined, replayed: false };
    } finally {
      once?.end();
    }
  };

  return (call) => {
    const spec: RouteSpec = controlRoutes[call.name];
    const handler = handlers[call.name];
    if (handler === undefined) throw new Error(`${call.name} has no handler`);
    return isWrite(spec) ? write(call, handler, spec) : read(call, handler, spec);
  };
}

/** What the reader takes of what the write was given: the same path, and of the query what it knows. */
function readerInput(
  reader: ControlRouteName,
  input: { readonly params?: unknown; readonly query?: unknown; readonly body?: unknown },
): object {
  const spec: RouteSpec = controlRoutes[reader];
  // Some writes name the owner in the body that their readers name in the query.
  const query = spec.query?.safeParse(pick(spec.query.shape, { ...record(input.body), ...record(input.query) })).data;
  return { ...(input.params === undefined ? {} : { params: input.params }), ...(query === undefined ? {} : { query }) };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function pick(shape: object, from: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.keys(shape).flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])));
}
