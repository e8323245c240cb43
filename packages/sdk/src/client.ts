import { type ControlRouteName, type ControlRoutes, controlRoutes } from '@subcloud/contract/routes/control';
import type { ClientInputOf, OutputOf, RouteSpec } from '@subcloud/contract/routes/route';
import { ConnectionError } from './api-error.ts';
import { type TransportOptions, connectionError, createTransport, readJson } from './transport.ts';

export interface ClientOptions extends TransportOptions {
  /** From the call to the end of its answer. Default 30 s. */
  readonly timeoutMs?: number | undefined;
  /** Default 16 MiB. */
  readonly maxResponseBytes?: number | undefined;
}

/** Routes that answer with server-sent events too. */
export type StreamedRoute = {
  [Name in ControlRouteName]: ControlRoutes[Name] extends { readonly stream: unknown } ? Name : never;
}[ControlRouteName];
export interface StreamOptions {
  readonly lastEventId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly idleMs: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export type InputOf<Name extends ControlRouteName> = ClientInputOf<ControlRoutes[Name]>;
export type OutputFor<Name extends ControlRouteName> = OutputOf<ControlRoutes[Name]>;
/** A route without parameters and body is called with its name alone. */
type Input<Name extends ControlRouteName> =
  Record<never, never> extends InputOf<Name>
    ? [input?: InputOf<Name>, options?: CallOptions]
    : [input: InputOf<Name>, options?: CallOptions];

/** A client of the control API, typed by its routes. */
export interface Client {
  readonly url: string;
  /** SHA-256 of the TLS key that it trusts without an authority, hex. */
  readonly trustedKeySha256: string | undefined;
  /**
   * Calls a route by its name: `client.call('getNode', { params: { id } })`.
   *
   * @throws ApiError for what the server refuses, ConnectionError where there is no answer that can be believed,
   *   TypeError for an input that the route does not take
   */
  call<Name extends ControlRouteName>(name: Name, ...input: Input<Name>): Promise<OutputFor<Name>>;
  /**
   * The bytes of a route that answers with server-sent events; ends when the server ends it. `timeoutMs` bounds the wait for
   * its beginning, `idleMs` any silence in it.
   *
   * @throws as `call`
   */
  stream<Name extends StreamedRoute>(
    name: Name,
    input: InputOf<Name>,
    options: StreamOptions,
  ): AsyncGenerator<Uint8Array>;
  /** Breaks off what is under way. */
  close(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_RESPONSE_BYTES = 16_777_216;

interface LooseInput {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

/** Throws TypeError for a URL that is no http(s) URL. */
export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options);
  const { origin } = new URL(options.url);
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const maxBytes = options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES;

  const callLoosely = async (name: ControlRouteName, input: LooseInput = {}, call: CallOptions = {}) => {
    const route: RouteSpec = controlRoutes[name];
    const limit = AbortSignal.timeout(timeoutMs);
    const answer = await transport.send({
      method: METHODS[route.method],
      path: fillPath(name, route, input),
      body: route.body === undefined ? undefined : checked(name, 'body', route.body, input.body),
      signal: call.signal === undefined ? limit : AbortSignal.any([limit, call.signal]),
      idleMs: timeoutMs,
    });
    const value = await readJson(answer, origin, maxBytes);
    const parsed = route.response.safeParse(value);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new ConnectionError(
      'unexpected_answer',
      `the answer to ${name} is not what this release expects: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim(),
      parsed.error,
    );
  };

  const stream = async function* (
    name: ControlRouteName,
    input: LooseInput,
    { lastEventId, signal, idleMs }: StreamOptions,
  ): AsyncGenerator<Uint8Array> {
    const route: RouteSpec = controlRoutes[name];
    const answer = await transport.send({
      method: METHODS[route.method],
      path: fillPath(name, route, input),
      headers: { accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) },
      signal,
      idleMs,
    });
    if (answer.statusCode !== 200 || !/^text\/event-stream\b/.test(String(answer.headers['content-type']))) {
      await readJson(answer, origin, maxBytes);
      throw new ConnectionError('unexpected_answer', `${origin} answered to ${name} with no event stream`);
    }
    try {
      for await (const chunk of answer.body) yield chunk as Buffer;
    } catch (error) {
      throw connectionError(error, origin, signal);
    }
  };

  return {
    url: options.url,
    trustedKeySha256: options.trustedKeySha256,
    // The route's own schemas check input and output, so the types hold at run time too.
    call: callLoosely as Client['call'],
    stream: stream as unknown as Client['stream'],
    close: () => transport.close(),
  };
}

const METHODS = { get: 'GET', post: 'POST', put: 'PUT', delete: 'DELETE' } as const;

function fillPath(name: string, route: RouteSpec, input: LooseInput): string {
  const params = (route.params === undefined ? {} : checked(name, 'params', route.params, input.params)) as LooseRecord;
  const path = route.path.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(String(params[key])));
  const query = (
    route.query === undefined ? {} : checked(name, 'query', route.query, input.query ?? {})
  ) as LooseRecord;
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (typeof value === 'string' || typeof value === 'number') search.append(key, `${value}`);
  }
  return search.size === 0 ? path : `${path}?${search.toString()}`;
}

type LooseRecord = Readonly<Record<string, unknown>>;

function checked(route: string, part: string, schema: NonNullable<RouteSpec['body']>, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = [part, ...(issue?.path ?? [])].join('.');
  throw new TypeError(`${route}: ${where} ${issue?.message ?? 'is not valid'}`);
}
