/**
 * Traces, where OpenTelemetry's environment variables say where they go; else nothing of it is loaded, and whoever would
 * make spans has `undefined` in its place.
 */
import type { Context, Span, Tracer } from '@opentelemetry/api';
import type { Log } from '../log.ts';
import { type TraceEnvironment, readTraceSettings } from './trace-settings.ts';

export type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';
export type { TraceEnvironment } from './trace-settings.ts';

/** OpenTelemetry's kinds of spans, by name: a value of the library would have to be loaded for it. */
export const SPAN_KIND = { internal: 0, server: 1, client: 2 } as const;
export const SPAN_ERROR = { code: 2 } as const;

export interface SpanCounts {
  readonly exported: number;
  /** The collector did not take them. */
  readonly failed: number;
  /** There was no room for them while they waited. */
  readonly dropped: number;
}

export interface Tracing {
  readonly tracer: Tracer;
  /** What a W3C `traceparent` says; the root where there is none, or one that is malformed. */
  parentOf(traceparent: string | readonly string[] | undefined): Context;
  /** The context of whatever happens within the span. */
  within(span: Span): Context;
  /** The span as a `traceparent`. */
  headerOf(span: Span): string;
  counts(): SpanCounts;
  /** Sends what there is, for at most STOP_MS. Never rejects. */
  stop(): Promise<void>;
}

export interface TracingOptions {
  /** Name of the service, where the environment has none. */
  readonly service: string;
  /** Which of several of that name. */
  readonly instance: string;
  readonly env: TraceEnvironment | undefined;
  readonly log: Log;
}

/** Undefined: nothing is traced. Throws ConfigError where the variables make no sense. */
export async function startTracing(options: TracingOptions): Promise<Tracing | undefined> {
  const settings = options.env === undefined ? undefined : readTraceSettings(options.env);
  if (settings === undefined) return undefined;
  const { openTracing } = await import('./open-tracing.ts');
  return openTracing(options, settings);
}
