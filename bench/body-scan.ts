/**
 * The body scan against JSON.parse: time on ordinary bodies, memory on bodies made to hurt.
 *
 *   node --expose-gc bench/body-scan.ts
 *
 * What decides: the gateway needs offsets and doubled keys, which JSON.parse does not tell, so the choice is between the
 * scan alone and JSON.parse beside a scan of the same bytes. The last line is one JSON object, times in microseconds.
 */
import { availableParallelism, cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { scanTopLevel } from '@subcloud/contract/body-scan';
import { READ_BODY_KEYS } from '@subcloud/contract/inference';

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const MIB = 1_048_576;
const ROUNDS = 9;
const BYTES_PER_ROUND = 40_000_000;

const prose = 'The harbour was quiet, and nobody on the quay had seen the boat come in. '.repeat(5);
const code = 'def double(x):\n\treturn "2" * x\n\n'.repeat(12);
const chinese = '港口很安静，码头上没有人看见那艘船进来。'.repeat(6);

const timed = {
  'chat 1 KB': chat(900, prose),
  'chat 1 MB': chat(1_000_000, prose),
  'code 1 MB': chat(1_000_000, code),
  'chinese 1 MB': chat(1_000_000, chinese),
  'numbers 1 MB': encode({ model: 'm', input: Array.from({ length: 70_000 }, (_, index) => index * 1.37) }),
  'tools 1 MB': encode({ model: 'm', tools: Array.from({ length: 12_000 }, (_, index) => tool(index)) }),
  'chat 32 MB': chat(31_900_000, prose),
};

const hostile = {
  'empty arrays 32 MiB': fill('{"model":"m","x":[[]', ',[]', ']}'),
  'empty objects 32 MiB': fill('{"model":"m","x":[{}', ',{}', ']}'),
  'nested arrays 32 MiB': encoder.encode(`{"x":${'['.repeat(16 * MIB - 4)}${']'.repeat(16 * MIB - 4)}}`),
};

const times = Object.fromEntries(
  Object.entries(timed).map(([name, body]) => {
    const scan = microseconds(body, () => scanTopLevel(body, READ_BODY_KEYS).ok);
    const parse = microseconds(body, () => JSON.parse(strictDecoder.decode(body)) !== null);
    return [
      name,
      { bytes: body.length, scanUs: scan, jsonParseUs: parse, parsePlusScanToScan: round((parse + scan) / scan) },
    ];
  }),
);
console.table(times);

const memory = Object.fromEntries(
  Object.entries(hostile).map(([name, body]) => {
    const scan = retained(() => scanTopLevel(body, READ_BODY_KEYS));
    const parse = retained((): unknown => JSON.parse(strictDecoder.decode(body)));
    return [
      name,
      { bytes: body.length, scanMiB: scan.mib, scanMs: scan.ms, jsonParseMiB: parse.mib, jsonParseMs: parse.ms },
    ];
  }),
);
console.table(memory);

const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism() };
console.log(JSON.stringify({ bench: 'body-scan', machine, times, memory }));

/** The best round: the others shared the core with something else. */
function microseconds(body: Uint8Array, run: () => boolean): number {
  const repeats = Math.max(2, Math.round(BYTES_PER_ROUND / body.length));
  let best = Number.POSITIVE_INFINITY;
  for (let index = 0; index < ROUNDS; index++) {
    const start = performance.now();
    for (let repeat = 0; repeat < repeats; repeat++) if (!run()) throw new Error('a body of the bench is faulty');
    best = Math.min(best, (performance.now() - start) / repeats);
  }
  return round(best * 1_000);
}

/** Heap that the result keeps alive, so a lower bound of what was needed to make it. */
function retained(run: () => unknown): { mib: number | string; ms: number } {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const start = performance.now();
  let result: unknown;
  try {
    result = run();
  } catch (error) {
    return { mib: error instanceof Error ? error.name : 'failed', ms: round(performance.now() - start) };
  }
  const ms = round(performance.now() - start);
  globalThis.gc?.();
  const mib = round((process.memoryUsage().heapUsed - before) / MIB);
  return { mib: result === undefined ? 0 : mib, ms };
}

function chat(bytes: number, text: string): Uint8Array {
  const messages: { role: string; content: string }[] = [];
  for (let length = 0; length < bytes; length += encoder.encode(text).length + 36) {
    messages.push({ role: messages.length % 2 === 0 ? 'user' : 'assistant', content: text });
  }
  return encode({
    model: 'meta-llama/Llama-3.1-8B-Instruct',
    messages,
    temperature: 0.7,
    max_tokens: 256,
    stream: true,
  });
}

function tool(index: number): object {
  return {
    type: 'function',
    function: { name: `f${index}`, strict: true, parameters: { required: ['a', 'b'], additionalProperties: false } },
  };
}

function fill(head: string, part: string, tail: string): Uint8Array {
  return encoder.encode(head + part.repeat(Math.floor((32 * MIB - head.length - tail.length) / part.length)) + tail);
}

function encode(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
