import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { readTraceSettings } from './trace-settings.ts';

const ON = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

describe('traces are on where an endpoint is named', () => {
  test.each([
    ['nothing', {}],
    ['an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    ['no exporter', { ...ON, OTEL_TRACES_EXPORTER: 'none' }],
    ['the SDK switched off', { ...ON, OTEL_SDK_DISABLED: 'TRUE' }],
    // An endpoint of metrics or logs is not one for traces.
    ['another signal', { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://127.0.0.1:4318' }],
  ])('off: %s', (_, env) => expect(readTraceSettings(env)).toBeUndefined());

  test('the defaults are those of the specification', () => {
    expect(readTraceSettings(ON)).toEqual({
      sampler: 'parentbased_always_on',
      ratio: 1,
      serviceName: undefined,
      maxQueuedSpans: 2_048,
      maxBatchSpans: 512,
      delayMs: 5_000,
      exportTimeoutMs: 30_000,
    });
    expect(readTraceSettings({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example/v1/traces' })).toBeDefined();
  });

  test.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'http/json'],
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.1'],
    ['OTEL_TRACES_SAMPLER_ARG', 'half'],
    ['OTEL_BSP_MAX_QUEUE_SIZE', '0'],
    ['OTEL_BSP_SCHEDULE_DELAY', '-1'],
  ])('%s=%s is refused by name, and its value is not repeated', (name, value) => {
    expect(() => readTraceSettings({ ...ON, [name]: value })).toThrow(name);
    expect(() => readTraceSettings({ ...ON, [name]: value })).not.toThrow(value);
  });
});

test('the library is loaded only where traces are on', () => {
  const loads = (env: object): string[] => {
    const script = `
      import { registerHooks } from 'node:module';
      const seen = new Set();
      registerHooks({ load: (url, context, next) => { seen.add(url); return next(url, context); } });
      const { startTracing } = await import(${JSON.stringify(new URL('start-tracing.ts', import.meta.url).href)});
      const log = { warn() {}, info() {} };
      await startTracing({ service: 'a', instance: 'b', env: ${JSON.stringify(env)}, log });
      console.log(JSON.stringify([...seen].filter((url) => url.includes('@opentelemetry'))));
      process.exit(0);`;
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    return JSON.parse(output) as string[];
  };
  expect(loads({})).toEqual([]);
  expect(loads(ON).length).toBeGreaterThan(0);
});
