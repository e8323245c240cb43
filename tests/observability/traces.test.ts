/**
 * Traces, end to end: a caller with a trace of its own, real control, gateway, agents and links, and a collector that
 * decodes what arrives. What a trace must not hold is looked for in every byte of it.
 */
import { eventually } from '@subcloud/testkit/eventually';
import { type TestNetwork, startTestNetwork } from '@subcloud/testkit/test-network';
import { type CollectedSpan, type TraceCollector, startTraceCollector } from '@subcloud/testkit/trace-collector';
import { afterEach, describe, expect, test, vi } from 'vitest';

const PROMPT = 'canary-prompt-7d1f';
const ANSWER = 'canary-answer-93ab';
const EXPORTER_KEY = 'canary-exporter-key';
const TRACE = 'aaaabbbbccccddddeeeeffff00001111';
const PARENT = '1234567890abcdef';

afterEach(() => vi.unstubAllEnvs());

/** The exporter reads its part of the environment itself, so the variables are those of the process. */
function tracedTo({ url }: TraceCollector, more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const given = {
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${EXPORTER_KEY}`,
    OTEL_BSP_SCHEDULE_DELAY: '20',
    ...more,
  };
  for (const [name, value] of Object.entries(given)) vi.stubEnv(name, value);
  return process.env;
}

interface Asked {
  readonly model?: string;
  readonly stream?: boolean;
  readonly traceparent?: string;
  readonly key?: string;
}

async function chat(network: TestNetwork, { model = 'traced', stream = false, traceparent, key }: Asked) {
  const answer = await fetch(`${network.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key ?? network.apiKey}`,
      'content-type': 'application/json',
      'x-request-id': 'canary-client-id',
      tracestate: 'canary=state',
      baggage: 'canary=baggage',
      ...(traceparent === undefined ? {} : { traceparent }),
    },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: PROMPT }] }),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    id: answer.headers.get('x-request-id') ?? '',
    node: answer.headers.get('x-subcloud-node'),
    text,
  };
}

async function spansOf(
  collector: TraceCollector,
  id: string,
): Promise<{ server: CollectedSpan; tries: CollectedSpan[] }> {
  const server = await eventually('the span of the request', () =>
    collector.spans.find(
      (span) => span.service === 'subcloud-gateway' && span.attributes['subcloud.request.id'] === id,
    ),
  );
  const tries = await eventually('its tries', () => {
    const found = collector.spans.filter(
      ({ parentSpanId, service }) => parentSpanId === server.spanId && service === 'subcloud-gateway',
    );
    return found.sort((a, b) => Number(a.attributes['subcloud.attempt']) - Number(b.attributes['subcloud.attempt']));
  });
  return { server, tries };
}

const agentSpan = (collector: TraceCollector, id: string, kind: CollectedSpan['kind']): Promise<CollectedSpan> =>
  eventually(`the agent's ${kind} span`, () => {
    const served = collector.spans.find(
      ({ service, attributes }) => service === 'subcloud-agent' && attributes['subcloud.request.id'] === id,
    );
    return kind === 'server'
      ? served
      : collector.spans.find(({ kind: k, parentSpanId }) => k === 'client' && parentSpanId === served?.spanId);
  });

describe('with a collector', () => {
  test('a streamed request is one trace from the caller to the engine, where nodes are told', async () => {
    await using collector = await startTraceCollector();
    await using network = await startTestNetwork({ traceEnv: tracedTo(collector), gateway: { traceNodes: true } });
    const node = await network.node({ name: 'one', models: ['traced'] });
    await node.engine.set({ kind: 'ok', text: ANSWER });
    await network.serving('global', node);
    const answer = await chat(network, { stream: true, traceparent: `00-${TRACE}-${PARENT}-01` });
    expect(answer.text).toContain('[DONE]');
    const { server, tries } = await spansOf(collector, answer.id);
    expect(server).toMatchObject({
      name: 'chat traced',
      kind: 'server',
      traceId: TRACE,
      parentSpanId: PARENT,
      isError: false,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/v1/chat/completions',
        'http.response.status_code': 200,
        'url.scheme': 'http',
        'server.address': '127.0.0.1',
        'server.port': network.gateway.port,
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'subcloud',
        'gen_ai.request.model': 'traced',
        'gen_ai.response.model': 'traced',
        'gen_ai.request.stream': true,
        'subcloud.pool': 'global',
        'subcloud.candidates': 1,
      },
    });
    expect(server.attributes['gen_ai.usage.input_tokens']).toBeGreaterThan(0);
    expect(server.attributes['gen_ai.usage.output_tokens']).toBeGreaterThan(0);
    expect(server.attributes['gen_ai.response.time_to_first_chunk']).toBeGreaterThan(0);
    expect(server.attributes['error.type']).toBeUndefined();
    const [first, ...others] = tries;
    expect(others).toEqual([]);
    expect(first).toMatchObject({
      name: 'chat traced',
      kind: 'client',
      traceId: TRACE,
      attributes: { 'subcloud.node': answer.node, 'subcloud.attempt': 1, 'subcloud.outcome': 'answered' },
    });
    expect(first?.startMs).toBeGreaterThanOrEqual(server.startMs);
    expect(first?.endMs).toBeLessThanOrEqual(server.endMs);
    const served = await agentSpan(collector, answer.id, 'server');
    expect(served).toMatchObject({ traceId: TRACE, parentSpanId: first?.spanId, name: 'chat traced' });
    expect(served.attributes).toMatchObject({ 'http.response.status_code': 200, 'subcloud.pool': 'global' });
    const called = await agentSpan(collector, answer.id, 'client');
    const { headers } = node.engine.requests.at(-1) ?? {};
    expect(headers?.['traceparent']).toBe(`00-${TRACE}-${called.spanId}-01`);
    expect(headers?.['tracestate']).toBeUndefined();
    expect(headers?.['baggage']).toBeUndefined();
    await nothingSecret(collector, network, node.id);
  });

  test("a node is not told of a caller's trace unless the gateway is told to: its own trace joins by the request id alone", async () => {
    await using collector = await startTraceCollector();
    await using network = await startTestNetwork({ traceEnv: tracedTo(collector) });
    const node = await network.node({ name: 'one', models: ['traced'] });
    await network.serving('global', node);
    const answer = await chat(network, { traceparent: `00-${TRACE}-${PARENT}-01` });
    const { server } = await spansOf(collector, answer.id);
    expect(server.traceId).toBe(TRACE);
    const served = await agentSpan(collector, answer.id, 'server');
    expect(served.parentSpanId).toBe('');
    expect(served.traceId).not.toBe(TRACE);
    expect(JSON.stringify(node.engine.requests)).not.toContain(TRACE);
  });

  test('a failed try and the one after it are two spans below one, by pseudonyms; a refusal has none', async () => {
    await using collector = await startTraceCollector();
    await using network = await startTestNetwork({ traceEnv: tracedTo(collector) });
    const nodes = [
      await network.node({ name: 'one', models: ['traced'] }),
      await network.node({ name: 'two', models: ['traced'] }),
    ];
    for (const node of nodes) await network.serving('global', node);
    const broken = nodes[0];
    await broken?.engine.set({ kind: 'status', status: 500 });
    const twice = await eventually('a request that met the broken one first', async () => {
      const answer = await chat(network, {});
      expect(answer.status).toBe(200);
      const spans = await spansOf(collector, answer.id);
      return spans.tries.length === 2 ? spans : undefined;
    });
    const [failed, second] = twice.tries;
    expect(failed).toMatchObject({ isError: true, attributes: { 'error.type': 'refused', 'subcloud.attempt': 1 } });
    expect(second).toMatchObject({
      isError: false,
      attributes: { 'subcloud.outcome': 'answered', 'subcloud.attempt': 2 },
    });
    expect(failed?.attributes['subcloud.node']).not.toBe(second?.attributes['subcloud.node']);
    expect(twice.server.isError).toBe(false);

    const unknown = await chat(network, { model: 'canary-model-that-nobody-has' });
    expect(unknown.status).toBe(404);
    const refused = await eventually('its span', () =>
      collector.spans.find(({ attributes }) => attributes['subcloud.request.id'] === unknown.id),
    );
    expect(refused).toMatchObject({
      name: 'chat',
      isError: false,
      attributes: { 'http.response.status_code': 404, 'error.type': 'routing.unknown_model' },
    });
    const stranger = await chat(network, { key: 'canary-wrong-key' });
    expect(stranger.status).toBe(401);
    const shown = await eventually('its span', () =>
      collector.spans.find(({ attributes }) => attributes['subcloud.request.id'] === stranger.id),
    );
    expect(shown.attributes['subcloud.pool']).toBeUndefined();
    await nothingSecret(collector, network, ...nodes.map(({ id }) => id));
  });

  test('a traceparent that is malformed, or there is none, begins a trace of its own', async () => {
    await using collector = await startTraceCollector();
    await using network = await startTestNetwork({ traceEnv: tracedTo(collector) });
    const malformed = [
      undefined,
      '',
      `00-${'0'.repeat(32)}-${PARENT}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `00-${'g'.repeat(32)}-${PARENT}-01`,
      `ff-${TRACE}-${PARENT}-01`,
      `00-${TRACE}-${PARENT}-01-more`,
      `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`,
      `01-${TRACE}-${PARENT}-01-${'x'.repeat(600)}`,
    ];
    for (const traceparent of malformed) {
      const answer = await chat(network, traceparent === undefined ? {} : { traceparent });
      expect(answer.status, traceparent).toBe(503);
      const span = await eventually('its span', () =>
        collector.spans.find(({ attributes }) => attributes['subcloud.request.id'] === answer.id),
      );
      expect(span.parentSpanId, traceparent).toBe('');
      expect(span.traceId, traceparent).not.toBe(TRACE);
      expect(span.isError).toBe(true);
    }
  });

  test('a caller who does not trace is not traced, by the default; a sampler of ones own decides otherwise', async () => {
    const traced = async (sampler: Readonly<Record<string, string>>): Promise<number> => {
      await using collector = await startTraceCollector();
      await using network = await startTestNetwork({ traceEnv: tracedTo(collector, sampler) });
      await chat(network, { traceparent: `00-${TRACE}-${PARENT}-00` });
      const { id } = await chat(network, { traceparent: `00-${TRACE}-${PARENT}-01` });
      const never = sampler['OTEL_TRACES_SAMPLER'] === 'always_off';
      if (!never)
        await eventually('the second', () =>
          collector.spans.some(({ attributes }) => attributes['subcloud.request.id'] === id),
        );
      return collector.spans.filter(({ traceId }) => traceId === TRACE).length;
    };
    expect(await traced({})).toBe(1);
    expect(await traced({ OTEL_TRACES_SAMPLER: 'always_on' })).toBe(2);
    expect(await traced({ OTEL_TRACES_SAMPLER: 'always_off' })).toBe(0);
  });
});

describe('a collector that is no help', () => {
  test.each([503, 'never'] as const)(
    '%s: requests are answered, losses are counted, and the gateway stops',
    async (answer) => {
      await using collector = await startTraceCollector();
      collector.answer = answer;
      const lines: string[] = [];
      const log = recordingLog(lines);
      const env = tracedTo(collector, { OTEL_BSP_MAX_QUEUE_SIZE: '4', OTEL_EXPORTER_OTLP_TIMEOUT: '200' });
      await using network = await startTestNetwork({ traceEnv: env, log });
      const node = await network.node({ name: 'one', models: ['traced'] });
      await network.serving('global', node);
      await eventually('a span was lost', async () => {
        const answers = await Promise.all(Array.from({ length: 8 }, () => chat(network, {})));
        expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
        const page = await (await fetch(`${network.url}/metrics`)).text();
        const lost = /subcloud_trace_spans_total\{outcome="dropped"\} (\d+)/.exec(page)?.[1];
        const failed = /subcloud_trace_spans_total\{outcome="failed"\} (\d+)/.exec(page)?.[1];
        return Number(lost) > 0 && Number(failed) > 0;
      });
      expect(lines.join('\n')).toContain('spans could not be exported');
      expect(lines.join('\n')).not.toContain(EXPORTER_KEY);
    },
  );
});

test('what the gateway still had goes out when it drains', async () => {
  await using collector = await startTraceCollector();
  const network = await startTestNetwork({ traceEnv: tracedTo(collector, { OTEL_BSP_SCHEDULE_DELAY: '600000' }) });
  const { id } = await chat(network, {});
  expect(collector.spans).toEqual([]);
  await network[Symbol.asyncDispose]();
  expect(collector.spans.some(({ attributes }) => attributes['subcloud.request.id'] === id)).toBe(true);
  // Control traces, too: its API by route and action, and its passes.
  expect(collector.spans.find(({ name }) => name === 'PUT /api/v1/places')).toMatchObject({
    service: 'subcloud-control',
    kind: 'server',
    attributes: { 'subcloud.action': 'places.write', 'http.response.status_code': 200 },
  });
  expect(collector.spans.some(({ name, service }) => name === 'reconcile' && service === 'subcloud-control')).toBe(
    true,
  );
});

test('without an endpoint nothing is loaded and nothing is sent', async () => {
  await using collector = await startTraceCollector();
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', '');
  await using network = await startTestNetwork({ traceEnv: process.env });
  await chat(network, { traceparent: `00-${TRACE}-${PARENT}-01` });
  expect(await (await fetch(`${network.url}/metrics`)).text()).not.toMatch(/^subcloud_trace_spans_total\{/m);
  expect(collector.requests).toEqual([]);
});

/** In everything that the collector was sent, whatever field it would have stood in. */
async function nothingSecret(collector: TraceCollector, network: TestNetwork, ...nodes: string[]): Promise<void> {
  await network.gateway.stop();
  const bytes = Buffer.concat(
    collector.requests.map(({ body }) => body).filter((body) => !body.includes('subcloud-agent')),
  ).toString('latin1');
  const everywhere = Buffer.concat(collector.requests.map(({ body }) => body)).toString('latin1');
  for (const secret of [
    PROMPT,
    ANSWER,
    network.apiKey,
    EXPORTER_KEY,
    'canary-client-id',
    'canary-wrong-key',
    'canary=',
    'user:admin',
  ]) {
    expect(everywhere, secret).not.toContain(secret);
  }
  for (const node of nodes) expect(bytes, node).not.toContain(node);
  expect(collector.requests.every(({ headers }) => headers.authorization === `Bearer ${EXPORTER_KEY}`)).toBe(true);
}

function recordingLog(lines: string[]) {
  const note = (...values: unknown[]): void => void lines.push(JSON.stringify(values));
  const log = { trace: note, debug: note, info: note, warn: note, error: note, child: () => log };
  return log as unknown as NonNullable<Parameters<typeof startTestNetwork>[0]>['log'] & object;
}
