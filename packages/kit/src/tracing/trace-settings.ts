/**
 * OpenTelemetry's own environment variables, as far as they decide whether and what is traced. Where spans go, with which
 * headers, certificates and compression, the exporter reads by itself: none of it is needed here, and some of it is secret.
 */
import { ConfigError } from '../config.ts';

export type TraceEnvironment = Readonly<Record<string, string | undefined>>;

export const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
export type SamplerName = (typeof SAMPLERS)[number];

export interface TraceSettings {
  readonly sampler: SamplerName;
  /** Of traces that no caller began; 0 to 1. */
  readonly ratio: number;
  readonly serviceName: string | undefined;
  /** Spans that wait to be sent; more are dropped and counted. */
  readonly maxQueuedSpans: number;
  readonly maxBatchSpans: number;
  readonly delayMs: number;
  readonly exportTimeoutMs: number;
}

/** Undefined: nothing is traced. Throws ConfigError with every fault. */
export function readTraceSettings(env: TraceEnvironment): TraceSettings | undefined {
  const given = (name: string): string | undefined => (env[name]?.trim() === '' ? undefined : env[name]?.trim());
  const endpoint = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'].find((name) => given(name));
  const exporter = given('OTEL_TRACES_EXPORTER') ?? 'otlp';
  if (endpoint === undefined || exporter === 'none' || given('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return;
  const faults: string[] = [];
  const choice = <Word extends string>(name: string, words: readonly Word[], otherwise: Word): Word => {
    const found = words.find((word) => word === (given(name) ?? otherwise));
    if (found === undefined) faults.push(`${name}: is none of ${words.join(', ')}.`);
    return found ?? otherwise;
  };
  const count = (name: string, otherwise: number, max: number): number => {
    const value = Number(given(name) ?? otherwise);
    if (!Number.isInteger(value) || value < 1 || value > max)
      faults.push(`${name}: is no whole number from 1 to ${max}.`);
    return value;
  };
  if (!/^https?:$/.test(URL.parse(given(endpoint) ?? '')?.protocol ?? ''))
    faults.push(`${endpoint}: is no http(s) URL.`);
  choice('OTEL_TRACES_EXPORTER', ['otlp', 'none'], 'otlp');
  const ratio = Number(given('OTEL_TRACES_SAMPLER_ARG') ?? 1);
  if (!(ratio >= 0 && ratio <= 1)) faults.push('OTEL_TRACES_SAMPLER_ARG: is no number from 0 to 1.');
  const protocols = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const;
  choice(protocols.find((name) => given(name)) ?? protocols[0], ['http/protobuf'], 'http/protobuf');
  const maxQueuedSpans = count('OTEL_BSP_MAX_QUEUE_SIZE', 2_048, 65_536);
  const settings: TraceSettings = {
    sampler: choice('OTEL_TRACES_SAMPLER', SAMPLERS, 'parentbased_always_on'),
    ratio,
    serviceName: given('OTEL_SERVICE_NAME'),
    maxQueuedSpans,
    maxBatchSpans: Math.min(maxQueuedSpans, count('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512, 65_536)),
    delayMs: count('OTEL_BSP_SCHEDULE_DELAY', 5_000, 600_000),
    exportTimeoutMs: count('OTEL_BSP_EXPORT_TIMEOUT', 30_000, 600_000),
  };
  if (faults.length > 0) throw new ConfigError(faults);
  return settings;
}
