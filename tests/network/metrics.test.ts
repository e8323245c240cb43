/** What an operator's Prometheus reads agrees with what callers were answered, and only listed addresses read it. */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { CONTROL_METRICS } from '@subcloud/control/metrics/metric-names';
import { GATEWAY_METRICS } from '@subcloud/gateway/metrics/metric-names';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import OpenAI from 'openai';
import { expect, test } from 'vitest';

type Samples = ReadonlyMap<string, number>;

/** `name{label="value",…}` to its value; what is no sample or comment is a fault of the page. */
function samplesOf(page: string): Samples {
  const samples = new Map<string, number>();
  for (const line of page.split('\n')) {
    if (line === '' || line.startsWith('# ')) continue;
    const match = /^([a-z_\d]+(?:\{.*\})?) (-?[\d.e+-]+|NaN|\+Inf)$/.exec(line);
    if (match === null) throw new Error(`no sample: ${line}`);
    samples.set(match[1] ?? '', Number(match[2]));
  }
  return samples;
}

async function read(url: string, localAddress?: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(url, localAddress === undefined ? {} : { localAddress }, (answer) => {
      void text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
    });
    call.on('error', reject);
    call.end();
  });
}

test('requests, tokens, times and refusals are counted by pool, and control counts nodes, memberships and calls', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'one', models: ['metered'] });
  await network.serving('global', node);
  const client = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
  const body = { model: 'metered', messages: [{ role: 'user' as const, content: 'Hello' }] };
  let prompt = 0;
  let completion = 0;
  for (let count = 0; count < 3; count += 1) {
    const { usage } = await client.chat.completions.create(body);
    prompt += usage?.prompt_tokens ?? 0;
    completion += usage?.completion_tokens ?? 0;
  }
  const options = { include_usage: true };
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true, stream_options: options })) {
    prompt += chunk.usage?.prompt_tokens ?? 0;
    completion += chunk.usage?.completion_tokens ?? 0;
  }
  await expect(client.chat.completions.create({ ...body, model: 'nobody-has-this' })).rejects.toThrow(/404/);

  const page = await read(`${network.url}/metrics`);
  expect(page.status).toBe(200);
  const samples = samplesOf(page.body);
  const labels = 'subcloud_pool="global",gen_ai_request_model="metered"';
  const genAi = `${labels},gen_ai_operation_name="chat",gen_ai_provider_name="subcloud"`;
  expect(Object.fromEntries(samples)).toMatchObject({
    'subcloud_requests_total{subcloud_pool="global",outcome="answered"}': 4,
    'subcloud_requests_total{subcloud_pool="global",outcome="routing.unknown_model"}': 1,
    'subcloud_attempts_total{subcloud_pool="global",outcome="answered"}': 4,
    [`subcloud_tokens_total{${labels},gen_ai_token_type="input"}`]: prompt,
    [`subcloud_tokens_total{${labels},gen_ai_token_type="output"}`]: completion,
    [`gen_ai_server_request_duration_seconds_count{${genAi},error_type=""}`]: 4,
    [`gen_ai_server_time_to_first_token_seconds_count{${genAi}}`]: 4,
    subcloud_links: 1,
    subcloud_table_live: 1,
    subcloud_table_version: network.gateway.tableVersion(),
    'subcloud_pool_members{subcloud_pool="global"}': 1,
  });
  // What a caller wrote as a model is no label.
  expect(page.body).not.toContain('nobody-has-this');
  expect(prompt).toBeGreaterThan(0);

  const control = samplesOf((await read(`${network.url}/metrics/control`)).body);
  expect(Object.fromEntries(control)).toMatchObject({
    'subcloud_nodes{liveness="online"}': 1,
    'subcloud_memberships{subcloud_pool="global",state="active"}': 1,
  });
  expect(control.get('subcloud_reconcile_pass_seconds_count')).toBeGreaterThan(0);
  await node.stop();
  await eventually(
    'the link is gone',
    async () => samplesOf((await read(`${network.url}/metrics`)).body).get('subcloud_links') === 0,
  );
});

test('to an address that is not listed there is no such page, with the bytes of any unknown path', async () => {
  await using network = await startTestNetwork({ gateway: { metricsFrom: '127.0.0.1/32' } });
  expect((await read(`${network.url}/metrics`)).status).toBe(200);
  for (const path of ['/metrics', '/metrics/control']) {
    const refused = await read(`${network.url}${path}`, '127.0.0.9');
    const unknown = await read(`${network.url}/nothing`, '127.0.0.9');
    expect([refused.status, withoutId(refused.body)]).toEqual([404, withoutId(unknown.body)]);
  }
});

function withoutId(body: string): string {
  return body.replaceAll(/req_\w+/g, 'req');
}

/** Shown by the libraries' own dashboards; ours has what a request can suffer from: CPU, memory, delay of the loop. */
const OF_THE_RUNTIME = /^(?:process|nodejs)_/;

test('what the processes expose is what the lists say, and every name in the dashboard is exposed', async () => {
  await using network = await startTestNetwork();
  const node = await network.node({ name: 'one', models: ['metered'] });
  await network.serving('global', node);
  const client = new OpenAI({ baseURL: `${network.url}/v1`, apiKey: network.apiKey, maxRetries: 0 });
  await client.chat.completions.create({ model: 'metered', messages: [{ role: 'user', content: 'Hello' }] });
  const gateway = (await read(`${network.url}/metrics`)).body;
  const control = (await read(`${network.url}/metrics/control`)).body;
  const ours = (page: string): string[] => exposedIn(page).filter((name) => !OF_THE_RUNTIME.test(name));
  expect(ours(gateway)).toEqual(Object.keys(GATEWAY_METRICS).sort());
  expect(ours(control)).toEqual(Object.keys(CONTROL_METRICS).sort());
  const specs: Readonly<Record<string, { readonly labels: readonly string[] }>> = {
    ...GATEWAY_METRICS,
    ...CONTROL_METRICS,
  };
  for (const sample of [...samplesOf(gateway).keys(), ...samplesOf(control).keys()]) {
    const [, name = '', labels = ''] = /^([a-z_\d]+)(?:\{(.*)\})?$/.exec(sample) ?? [];
    const spec = specs[name] ?? specs[name.replace(/_(?:bucket|sum|count)$/, '')];
    const given = [...labels.matchAll(/([a-z_]+)="/g)].map(([, label = '']) => label).filter((label) => label !== 'le');
    if (spec !== undefined) expect(given.sort(), sample).toEqual([...spec.labels].sort());
  }
  const exposed = new Set([...exposedIn(gateway), ...exposedIn(control)]);
  const dashboard = readFileSync(new URL('../../deploy/grafana/subcloud.json', import.meta.url), 'utf8');
  const { panels, templating } = JSON.parse(dashboard) as Dashboard;
  const asked = [
    ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...templating.list.map(({ query }) => query),
  ]
    .flatMap((expr) =>
      [...expr.matchAll(/\b(?:subcloud|gen_ai|process|nodejs)_[a-z_\d]+(?=[{[,) ]|$)/g)].map(([name]) => name),
    )
    .map((name) => (exposed.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, '')))
    .filter((name) => !LABELS.has(name));
  expect(asked.filter((name) => !exposed.has(name))).toEqual([]);
  expect(asked).toContain('gen_ai_server_time_to_first_token_seconds');
});

interface Dashboard {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
}

const LABELS = new Set(
  [...Object.values(GATEWAY_METRICS), ...Object.values(CONTROL_METRICS)].flatMap(
    ({ labels }): readonly string[] => labels,
  ),
);

function exposedIn(page: string): string[] {
  return [...page.matchAll(/^# TYPE (\S+) /gm)].map(([, name = '']) => name).sort();
}
