/**
 * Spans of what an agent serves: one of kind server for the request, below it one of kind client for the call of the
 * engine, which is told of the trace: it is this operator's, as the collector is. Nothing of what is asked or answered.
 */
import { type ServerHttp2Stream, constants } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import type { Clock } from '@subcloud/kit/clock';
import { type Span, SPAN_ERROR, SPAN_KIND, type Tracing } from '@subcloud/kit/tracing/start-tracing';
import type { RequestHead } from './request-head.ts';

const PROVIDER = 'subcloud';

export class ServeSpans {
  readonly #tracing: Tracing;
  readonly #clock: Clock;

  constructor(tracing: Tracing, clock: Clock) {
    this.#tracing = tracing;
    this.#clock = clock;
  }

  /** `traceparent` is there where the gateway's operator lets nodes know of it; else a trace begins here. */
  begun(headers: IncomingHttpHeaders, stream: ServerHttp2Stream): ServeSpan {
    const { tracer } = this.#tracing;
    const parent = this.#tracing.parentOf(headers['traceparent']);
    const span = tracer.startSpan('serve', { kind: SPAN_KIND.server, startTime: this.#clock.nowMs() }, parent);
    return new ServeSpan(this.#tracing, this.#clock, span, stream);
  }

  stop(): Promise<void> {
    return this.#tracing.stop();
  }
}

export class ServeSpan {
  readonly #tracing: Tracing;
  readonly #clock: Clock;
  readonly #span: Span;
  readonly #stream: ServerHttp2Stream;
  #engine: Span | undefined;
  #error: string | undefined;

  constructor(tracing: Tracing, clock: Clock, span: Span, stream: ServerHttp2Stream) {
    this.#tracing = tracing;
    this.#clock = clock;
    this.#span = span;
    this.#stream = stream;
  }

  read({ path, pool, model, requestId, tableVersion }: RequestHead, operation: string): void {
    this.#span.updateName(`${operation} ${model}`);
    this.#span.setAttributes({
      'http.request.method': 'POST',
      'http.route': path,
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.request.model': model,
      'subcloud.pool': pool,
      'subcloud.request.id': requestId,
      'subcloud.table.version': tableVersion,
    });
  }

  /** The header for the engine. `model` as the engine names it. */
  calling(url: string, operation: string, model: string): { readonly traceparent: string } {
    const { hostname, port, protocol } = new URL(url);
    const context = this.#tracing.within(this.#span);
    const attributes = {
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.request.model': model,
      'server.address': hostname,
      'server.port': port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    };
    const options = { kind: SPAN_KIND.client, startTime: this.#clock.nowMs(), attributes };
    this.#engine = this.#tracing.tracer.startSpan(`${operation} ${model}`, options, context);
    return { traceparent: this.#tracing.headerOf(this.#engine) };
  }

  /** `code` of an AppError, or `lock`. */
  failed(code: string): void {
    this.#error = code;
  }

  /** What became of it is read off the stream: an answer that broke off was reset. */
  end(): void {
    const { sentHeaders, rstCode } = this.#stream;
    const status = Number(sentHeaders?.[':status'] ?? 0);
    const reset = rstCode !== undefined && rstCode !== constants.NGHTTP2_NO_ERROR;
    const error =
      this.#error ?? (reset ? (rstCode === constants.NGHTTP2_CANCEL ? 'cancelled' : 'interrupted') : undefined);
    const nowMs = this.#clock.nowMs();
    for (const span of [this.#engine, this.#span]) {
      if (status > 0) span?.setAttribute('http.response.status_code', status);
      if (error !== undefined) span?.setAttribute('error.type', error);
      if (error === 'interrupted' || status >= 500) span?.setStatus(SPAN_ERROR);
      span?.end(nowMs);
    }
  }
}
