/** The rows of real-faults.ts, on real processes and a real model. */
import { connect } from 'node:net';
import { request } from 'node:http';
import { eventually } from '@subcloud/testkit/eventually';
import { hasDemoEngine } from '@subcloud/testkit/real-engine';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Caller, type Reply, createCaller } from '../soak/caller.ts';
import type { ServiceAgent } from '../crash/processes.ts';
import type { Exchange } from './engine-proxy.ts';
import { REAL_FAULTS, type RealFault } from './real-faults.ts';
import { LIMIT_MS, MODEL, type RealEngine, type RealNetwork, startRealNetwork } from './real-network.ts';

/** Of an answer, its head among them: some words have been said, most have not. */
const MIDDLE_BYTES = 1_500;
/** An engine may have said all before a signal reaches it: then the fault was not met, and it is tried again. */
const MOST_ROUNDS = 20;
const ASK = {
  model: MODEL,
  temperature: 0,
  max_tokens: 400,
  stream: true,
  messages: [{ role: 'user', content: 'Tell me a story about a fox.' }],
};

describe.runIf(hasDemoEngine)('faults of real engines', () => {
  let network: RealNetwork;
  let caller: Caller;
  let undisturbed: string;
  const asked: string[] = [];

  beforeAll(async () => {
    network = await startRealNetwork();
    caller = createCaller(network.up.ready.url);
    undisturbed = textOf(await ask());
  }, 240_000);
  afterAll(async () => {
    caller[Symbol.dispose]();
    await network[Symbol.asyncDispose]();
  }, 60_000);

  const ask = (more: object = {}, onData?: () => void): Promise<Reply> =>
    caller.call(
      {
        method: 'POST',
        path: '/v1/chat/completions',
        credential: network.up.ready.apiKey,
        body: JSON.stringify({ ...ASK, ...more }),
      },
      onData,
    );

  interface Played {
    readonly reply: Reply;
    /** The fault came before the engine had said all. */
    readonly met: boolean;
  }

  async function play({ at, what }: RealFault, round: number): Promise<Played> {
    if ('request' in what) return { reply: await ask(what.request), met: true };
    if ('engine' in what && what.engine === 'gone') return await refused(round % network.engines.length);
    return at === 'middle' ? await inTheMiddle(what) : await before(at, what);
  }

  /** Only where the one that refuses is asked first, it was met: which one that is, the latencies of before decide. */
  async function refused(index: number): Promise<Played> {
    await network.proxies.refuse(index, true);
    try {
      const reply = await ask();
      const { attempts } = await eventually('its record', () => recordOf(idOf(reply)), LIMIT_MS);
      return { reply, met: attempts.length > 1 };
    } finally {
      await network.proxies.refuse(index, false);
    }
  }

  async function before(at: 'asked' | 'head', what: RealFault['what']): Promise<Played> {
    let leave = (): void => {};
    network.proxies.set({
      at,
      act(exchange) {
        const engine = engineOf(exchange);
        if ('proxy' in what) what.proxy(exchange);
        if (!('engine' in what)) return undefined;
        if (what.engine !== 'full') return engine.signal(what.engine === 'kill' ? 'SIGKILL' : 'SIGSTOP');
        const others = fill(engine.port);
        leave = () => others.leave();
        return others.full;
      },
    });
    try {
      const pending = ask();
      const exchange = await eventually('the fault is met', () => network.proxies.met, LIMIT_MS);
      if ('engine' in what && what.engine === 'stop') engineOf(exchange).signal('SIGCONT');
      const reply = await pending;
      if (!('engine' in what && what.engine === 'full')) return { reply, met: true };
      // It was full a moment before: by the time it is asked it may have room again.
      const { attempts } = await eventually('its record', () => recordOf(idOf(reply)), LIMIT_MS);
      return { reply, met: attempts.length > 1 };
    } finally {
      leave();
    }
  }

  /** The caller has some words, and the proxy the rest of what the engine has said by then. */
  async function inTheMiddle(what: RealFault['what']): Promise<Played> {
    let release = (): void => {};
    let hasWords = false;
    network.proxies.set({
      at: MIDDLE_BYTES,
      act(exchange) {
        release = hold(exchange);
        if ('engine' in what) engineOf(exchange).signal('SIGSTOP');
      },
    });
    const pending = ask({}, () => (hasWords = true));
    const exchange = await eventually('the fault is met', () => network.proxies.met, LIMIT_MS);
    await eventually('the caller has words', () => hasWords, LIMIT_MS);
    const { index } = exchange;
    if ('proxy' in what) {
      exchange.through = passed;
      what.proxy(exchange);
      release();
    } else if ('engine' in what) {
      exchange.through = passed;
      if (what.engine === 'kill') await engineOf(exchange).kill();
      release();
      if (what.engine === 'stop') engineOf(exchange).signal('SIGCONT');
    } else if ('agent' in what) process.kill(agentOf(exchange).pid(), 'SIGKILL');
    else if ('link' in what) network.links.open(index).forEach(what.link === 'reset' ? reset : halfClose);
    else {
      process.kill(network.up.pidOf('gateway/src/main'), 'SIGTERM');
      await eventually('the gateway takes no more', refusesConnections, LIMIT_MS);
      exchange.through = passed;
      release();
    }
    const reply = await pending;
    return { reply, met: !('engine' in what && what.engine === 'kill' && exchange.said.includes('[DONE]')) };
  }

  function engineOf({ index }: Exchange): RealEngine {
    const engine = network.engines[index];
    if (engine === undefined) throw new Error(`no engine ${index}`);
    return engine;
  }

  function agentOf({ index }: Exchange): ServiceAgent {
    const agent = network.agents[index];
    if (agent === undefined) throw new Error(`no agent ${index}`);
    return agent;
  }

  function refusesConnections(): Promise<boolean> {
    const { hostname, port } = new URL(network.up.ready.url);
    return new Promise((resolve) => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
      socket.once('connect', () => socket.destroy());
    });
  }

  test('what nothing disturbs is whole', async () => {
    const reply = await ask();
    expect(endOf(reply)).toBe('whole');
    expect(textOf(reply)).toBe(undisturbed);
    expect(undisturbed.length).toBeGreaterThan(100);
  }, 120_000);

  test.each(REAL_FAULTS)(
    '$fault',
    async (fault) => {
      for (let round = 0; ; round += 1) {
        await network.bothServe();
        const { reply, met } = await play(fault, round);
        asked.push(idOf(reply));
        if ('engine' in fault.what && fault.what.engine === 'kill')
          for (const engine of network.engines) await engine.revive();
        if (!met && round < MOST_ROUNDS) continue;
        expect([met, endOf(reply)]).toEqual([true, fault.caller]);
        if (fault.caller === 'whole') expect(textOf(reply)).toBe(undisturbed);
        if (fault.caller === 'interrupted') {
          expect(textOf(reply).length).toBeGreaterThan(0);
          expect(undisturbed.startsWith(textOf(reply))).toBe(true);
          expect(textOf(reply).length).toBeLessThan(undisturbed.length);
        }
        const { attempts } = await eventually('its record', () => recordOf(idOf(reply)), LIMIT_MS);
        expect(attempts.map(({ outcome }) => outcome)).toEqual(fault.tries);
        expect(new Set(attempts.map(({ node }) => node)).size).toBe(attempts.length);
        return;
      }
    },
    300_000,
  );

  const recordOf = (id: string) => network.admin.call('getRequest', { params: { id } }).catch(() => undefined);

  test('nothing of them was lost, counted twice or led astray, and nothing is left under way', async () => {
    expect(network.outsider.requests).toEqual([]);
    const records = await Promise.all(asked.map(recordOf));
    const answered = records.flatMap((record) => (record === undefined || record.status !== 200 ? [] : [record]));
    const client = new pg.Client({ connectionString: network.up.databaseUrl() });
    await client.connect();
    await using _client = { [Symbol.asyncDispose]: () => client.end() };
    const usage = await eventually('all usage has come', async () => {
      const { rows } = await client.query<{ id: string; node: string }>(
        'select request_id as id, node_id as node from usage',
      );
      return answered.every((record) => rows.some(({ id }) => id === record.requestId)) ? rows : undefined;
    });
    expect(new Set(usage.map(({ id }) => id)).size).toBe(usage.length);
    const nodeOf = new Map(usage.map(({ id, node }) => [id, node]));
    for (const { requestId, attempts } of answered) expect(nodeOf.get(requestId)).toBe(attempts.at(-1)?.node);
    await eventually('nothing is under way', async () => {
      const { text } = await caller.call({ method: 'GET', path: '/metrics' });
      return /^subcloud_active_requests 0$/m.test(text) && /^subcloud_buffered_bytes 0$/m.test(text);
    });
  }, 120_000);
});

function idOf({ headers }: Reply): string {
  return String(headers['x-request-id']);
}

function textOf({ text }: Reply): string {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)) as { choices?: { delta?: { content?: string } }[] })
    .map(({ choices }) => choices?.[0]?.delta?.content ?? '')
    .join('');
}

function endOf({ status, text }: Reply): string {
  if (status !== 200)
    return status < 500 && !/"code":"(?:upstream|routing|client)\./.test(text) ? 'refused by the engine' : text;
  if (text.endsWith('data: [DONE]\n\n')) return 'whole';
  return text.includes('"code":"upstream.interrupted"') ? 'interrupted' : text;
}

function reset({ agent, engine }: Exchange): void {
  for (const socket of [agent, engine]) socket.resetAndDestroy();
}

function halfClose(exchange: Exchange): void {
  exchange.through = undefined;
  exchange.agent.end();
}

const passed = (piece: Buffer): readonly Buffer[] => [piece];

/** Keeps what comes; what it returns lets that go the way that the exchange has then. */
function hold(exchange: Exchange): () => void {
  const held: Buffer[] = [];
  exchange.through = (piece) => {
    held.push(piece);
    return [];
  };
  return () => {
    for (const piece of held.splice(0).flatMap((one) => exchange.through?.(one) ?? [])) exchange.agent.write(piece);
  };
}

/** Others that ask an engine for more than it takes, again and again until they are told to leave. */
function fill(port: number): { readonly full: Promise<void>; leave(): void } {
  let left = false;
  const { promise: full, resolve } = Promise.withResolvers<void>();
  const open = new Set<ReturnType<typeof request>>();
  const one = (): void => {
    if (left) return;
    const asking = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/chat/completions', agent: false });
    open.add(asking);
    asking.on('error', () => {});
    asking.on('response', (response) => {
      if (response.statusCode === 429) resolve();
      response.resume().on('error', () => {});
    });
    asking.once('close', () => {
      open.delete(asking);
      setTimeout(one, 20);
    });
    asking.setHeader('content-type', 'application/json');
    asking.end(JSON.stringify({ ...ASK, messages: [{ role: 'user', content: 'Tell me a story.' }] }));
  };
  for (let count = 0; count < 80; count += 1) one();
  return {
    full,
    leave() {
      left = true;
      for (const asking of open) asking.destroy();
    },
  };
}
