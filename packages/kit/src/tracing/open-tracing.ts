/**
 * OpenTelemetry's SDK with a batching OTLP exporter. Nobody waits for it: spans that the collector does not take in time
 * are dropped and counted. Nothing is registered globally, and the library's own log, which could quote headers, is off.
 */
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { ExportResultCode, parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceAttributesEnvDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Log } from '../log.ts';
import type { SpanCounts, Tracing, TracingOptions } from './start-tracing.ts';
import type { TraceSettings } from './trace-settings.ts';

/** A collector that does not answer holds no drain longer than this. */
const STOP_MS = 3_000;
/** Of a value of ours none is longer; this is for those of callers. */
const MAX_VALUE_CHARS = 256;
const SCOPE = 'subcloud';
/** Version 00 is 55 characters; a later one may say more after them. */
const MAX_TRACEPARENT_CHARS = 512;

export function openTracing(options: TracingOptions, settings: TraceSettings): Tracing {
  const queue = countedQueue(new OTLPTraceExporter(), settings, options.log);
  const own = {
    'service.name': settings.serviceName ?? options.service,
    'service.namespace': SCOPE,
    'service.instance.id': options.instance,
  };
  const named = resourceFromAttributes(resourceAttributesEnvDetector.detect().attributes ?? {});
  const provider = new TracerProvider({
    // What the environment names wins, but for the service: that has a variable of its own.
    resource: resourceFromAttributes(own).merge(named).merge(serviceOf(settings)),
    sampler: samplerOf(settings),
    spanLimits: { attributeValueLengthLimit: MAX_VALUE_CHARS },
    spanProcessors: [queue.processor],
  });
  return {
    tracer: provider.getTracer(SCOPE),
    parentOf(traceparent) {
      if (typeof traceparent !== 'string' || traceparent.length > MAX_TRACEPARENT_CHARS) return ROOT_CONTEXT;
      const parent = parseTraceParent(traceparent);
      return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
    },
    within: (span) => trace.setSpan(ROOT_CONTEXT, span),
    headerOf(span) {
      const { traceId, spanId, traceFlags } = span.spanContext();
      return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`;
    },
    counts: queue.counts,
    stop: () => bounded(provider.shutdown(), STOP_MS),
  };
}

function serviceOf({ serviceName }: TraceSettings) {
  return resourceFromAttributes(serviceName === undefined ? {} : { 'service.name': serviceName });
}

function samplerOf({ sampler, ratio }: TraceSettings): Sampler {
  switch (sampler) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(ratio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) });
  }
}

/**
 * The library's batches, with what they lose counted: it drops without a word what its queue has no room for. So the queue
 * is bounded here, at the same length, and the library's own bound is never met.
 */
function countedQueue(exporter: SpanExporter, settings: TraceSettings, log: Log) {
  let [waiting, exported, failed, dropped] = [0, 0, 0, 0];
  let failing = false;
  const done = (count: number, worked: boolean, code: unknown): void => {
    if (worked) exported += count;
    else failed += count;
    if (worked === !failing) return;
    failing = !worked;
    // Neither the collector's words nor its address, which may hold a secret.
    if (failing) log.warn({ code }, 'spans could not be exported; they are lost until the collector takes them again');
    else log.info({}, 'spans are exported again');
  };
  const counted: SpanExporter = {
    export(spans, callback) {
      waiting -= spans.length;
      exporter.export(spans, (result) => {
        done(spans.length, result.code === ExportResultCode.SUCCESS, codeOf(result.error));
        callback(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
  const batches = new BatchSpanProcessor({
    exporter: counted,
    maxQueueSize: settings.maxQueuedSpans,
    maxExportBatchSize: settings.maxBatchSpans,
    scheduledDelayMillis: settings.delayMs,
    exportTimeoutMillis: settings.exportTimeoutMs,
  });
  return {
    processor: {
      onStart: () => undefined,
      onEnd(span: ReadableSpan) {
        if (waiting >= settings.maxQueuedSpans) return void (dropped += 1);
        waiting += 1;
        batches.onEnd(span);
      },
      forceFlush: () => batches.forceFlush(),
      shutdown: () => batches.shutdown(),
    },
    counts: (): SpanCounts => ({ exported, failed, dropped }),
  };
}

/** An HTTP status or a system's code; nothing else of an error is told. */
function codeOf(error: Error | undefined): unknown {
  const code = error !== undefined && 'code' in error ? error.code : undefined;
  return typeof code === 'number' || (typeof code === 'string' && /^[A-Z_]{2,40}$/.test(code)) ? code : undefined;
}

async function bounded(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.catch(() => undefined), limit]);
  clearTimeout(timer);
}
