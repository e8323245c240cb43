/**
 * Spans of a gateway's requests: one of kind server for the request, below it one of kind client for each try on a node.
 * Times and outcomes come from the decision record that leaves anyway, so a request has three calls here and no more.
 *
 * In no span: prompts, answers, credentials, who called, ids of nodes (only the pseudonym that the caller of this pool gets,
 * too), and what callers wrote as ids of their own. A node is told of the trace only where the gateway's operator says so.
 *
 * Names are those of OpenTelemetry's conventions for generative AI and HTTP; what they have no word for is `subcloud.*`.
 */
import type { IncomingMessage } from 'node:http';
import type { MemberRow, PoolRow } from '@subcloud/contract/table';
import type { DecisionRecord, UsageRecord } from '@subcloud/contract/watch';
import { type Attributes, type Span, SPAN_ERROR, SPAN_KIND, type Tracing } from '@subcloud/kit/tracing/start-tracing';
import type { RequestIdentity } from '../request/identify.ts';
import { type Operation, operationOf } from '@subcloud/contract/operation';
import { outcomeWord } from '../request/outcome-word.ts';
import { pseudonymOf } from '../request/pseudonym.ts';

export const PROVIDER = 'subcloud';
/** Requests at once; connections are bounded, so this is met by a fault alone. */
const MAX_OPEN_SPANS = 65_536;

interface OpenRequest {
  readonly span: Span;
  readonly operation: Operation;
  readonly tries: Span[];
  usage: Pick<UsageRecord, 'promptTokens' | 'completionTokens'> | undefined;
  askedModel: string | undefined;
}

export interface Try {
  readonly requestId: string;
  /** As the caller named it. */
  readonly askedModel: string;
  readonly stream: boolean;
  readonly model: string;
  readonly pool: PoolRow;
  readonly member: MemberRow;
  readonly startMs: number;
}

export interface RequestSpansOptions {
  readonly tracing: Tracing;
  /** How callers reach this gateway. */
  readonly url: () => string | undefined;
  /** Whether nodes are told which trace a request belongs to. */
  readonly tellsNodes: boolean;
}

export class RequestSpans {
  readonly #options: RequestSpansOptions;
  readonly #open = new Map<string, OpenRequest>();
  #server: Attributes | undefined;

  constructor(options: RequestSpansOptions) {
    this.#options = options;
  }

  begun({ method = '', headers }: IncomingMessage, { requestId, atMs }: RequestIdentity, path: string): void {
    if (this.#open.size >= MAX_OPEN_SPANS) return;
    const { tracing } = this.#options;
    const operation = operationOf(path);
    const span = tracing.tracer.startSpan(
      operation,
      {
        kind: SPAN_KIND.server,
        startTime: atMs,
        attributes: {
          'http.request.method': method,
          'http.route': path,
          ...this.#whereServed(),
          'gen_ai.operation.name': operation,
          'gen_ai.provider.name': PROVIDER,
          'subcloud.request.id': requestId,
        },
      },
      tracing.parentOf(headers['traceparent']),
    );
    this.#open.set(requestId, { span, operation, tries: [], usage: undefined, askedModel: undefined });
  }

  /** In the turn of the dispatch. What it returns is the header for the node: none, or where the trace goes on. */
  trying(one: Try): { readonly traceparent: string } | undefined {
    const open = this.#open.get(one.requestId);
    if (open === undefined) return undefined;
    open.askedModel = one.askedModel;
    if (open.operation !== 'call_api') open.span.setAttribute('gen_ai.request.stream', one.stream);
    const { tracing, tellsNodes } = this.#options;
    const span = tracing.tracer.startSpan(
      `${open.operation} ${one.model}`,
      {
        kind: SPAN_KIND.client,
        startTime: one.startMs,
        attributes: {
          'gen_ai.operation.name': open.operation,
          'gen_ai.provider.name': PROVIDER,
          'gen_ai.request.model': one.model,
          'subcloud.node': pseudonymOf(one.pool, one.member),
          'subcloud.attempt': open.tries.length + 1,
        },
      },
      tracing.within(open.span),
    );
    open.tries.push(span);
    return tellsNodes ? { traceparent: tracing.headerOf(span) } : undefined;
  }

  counted({ requestId, promptTokens, completionTokens }: Omit<UsageRecord, 'sequence'>): void {
    const open = this.#open.get(requestId);
    if (open !== undefined) open.usage = { promptTokens, completionTokens };
  }

  /** The request is over. */
  decided(record: DecisionRecord): void {
    const open = this.#open.get(record.requestId);
    if (open === undefined) return;
    this.#open.delete(record.requestId);
    for (const [index, span] of open.tries.entries()) endTry(span, record, index);
    const { span, operation } = open;
    // What no node was asked for is whatever the caller wrote: no name of a span.
    const model = record.attempts.length > 0 ? record.model : null;
    if (model !== null) span.updateName(`${operation} ${model}`);
    span.setAttributes(attributesOf(record, model, open));
    // By the conventions for HTTP, what is the caller's fault is no error of the server.
    if (record.status >= 500) span.setStatus(SPAN_ERROR);
    span.end(record.atMs + record.durationMs);
  }

  #whereServed(): Attributes {
    const url = this.#server === undefined ? URL.parse(this.#options.url() ?? '') : null;
    if (url !== null) {
      const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
      this.#server = {
        'url.scheme': url.protocol.slice(0, -1),
        'server.address': url.hostname.replace(/^\[(.*)\]$/, '$1'),
        'server.port': port,
      };
    }
    return this.#server ?? {};
  }
}

function attributesOf(record: DecisionRecord, model: string | null, { usage, askedModel }: OpenRequest): Attributes {
  const { outcome, firstByteMs, pool } = record;
  return {
    'http.response.status_code': record.status,
    ...(outcome === 'answered' ? {} : { 'error.type': outcomeWord(outcome) }),
    ...(askedModel === undefined ? {} : { 'gen_ai.request.model': askedModel }),
    ...(model === null || firstByteMs === null ? {} : { 'gen_ai.response.model': model }),
    ...(firstByteMs === null ? {} : { 'gen_ai.response.time_to_first_chunk': firstByteMs / 1_000 }),
    ...(usage === undefined
      ? {}
      : { 'gen_ai.usage.input_tokens': usage.promptTokens, 'gen_ai.usage.output_tokens': usage.completionTokens }),
    ...(pool === null ? {} : { 'subcloud.pool': pool, 'subcloud.revision': record.revision ?? 0 }),
    ...(record.poolBy === null ? {} : { 'subcloud.pool.by': record.poolBy }),
    'subcloud.table.version': record.tableVersion,
    'subcloud.candidates': record.candidates,
    ...(record.queuedMs === undefined ? {} : { 'subcloud.queue.duration': record.queuedMs / 1_000 }),
  };
}

function endTry(span: Span, { atMs, durationMs, attempts }: DecisionRecord, index: number): void {
  const tried = attempts[index];
  if (tried === undefined) return span.end(atMs + durationMs);
  const word = outcomeWord(tried.outcome);
  span.setAttributes({
    'subcloud.outcome': tried.outcome,
    ...(tried.by === undefined ? {} : { 'subcloud.pick.by': tried.by }),
    ...(tried.continuesAfterBytes === undefined ? {} : { 'subcloud.continues_after_bytes': tried.continuesAfterBytes }),
    ...(word === 'answered' ? {} : { 'error.type': word }),
  });
  if (word !== 'answered') span.setStatus(SPAN_ERROR);
  span.end(atMs + tried.endedAfterMs);
}
