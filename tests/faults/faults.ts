/**
 * The fault matrix: what can go wrong at a node, what its caller sees, and what it costs the node. `fault-matrix.test.ts`
 * holds the gateway to every row, and `docs/fault-matrix.md` is printed from them.
 */
import type { ServerHttp2Stream } from 'node:http2';
import type { NodeHandler } from '@subcloud/testkit/peer-node';
import { COMPLETION, event, sendJson } from '@subcloud/testkit/test-gateway';
import { REAL_FAULTS, type RealFault } from './real-faults.ts';

/** What the caller of one request sees: `broken` is a connection that ends before its answer does. */
export interface Seen {
  readonly status: number;
  /** `whole`: a proper end. `error event`: events, then one that says what happened, and the connection ends. Else the error's code. */
  readonly end: string;
}

export interface Fault {
  readonly fault: string;
  readonly handler: NodeHandler;
  readonly stream: boolean;
  /** Alone in its pool. */
  readonly alone: Seen;
  /** Beside a node that is well. */
  readonly beside: Seen;
  /** After five in a row. */
  readonly cost: 'ejected' | 'nothing';
  /** Usage records of a request that met it alone. */
  readonly counted: 0 | 1;
}

const WORD = event({ choices: [{ index: 0, delta: { content: 'one' } }] });
const reset = (stream: ServerHttp2Stream): void => void stream.destroy(new Error('reset'));
const begin = (stream: ServerHttp2Stream): void =>
  stream.respond({ ':status': 200, 'content-type': 'text/event-stream' });
const then = (stream: ServerHttp2Stream, act: () => void): void => void stream.write(WORD, () => setImmediate(act));
const says =
  (status: number, headers: Record<string, string> = {}): NodeHandler =>
  (stream) =>
    sendJson(stream, status, { error: { message: 'the engine says so', code: 'engine' } }, headers);

const WHOLE: Seen = { status: 200, end: 'whole' };
const BROKEN: Seen = { status: 200, end: 'error event upstream.interrupted' };
const FAILED: Seen = { status: 502, end: 'upstream.failed' };

/** What all that fails before the first byte has in common: somebody else answers, else it is a 502. */
const BEFORE = { alone: FAILED, beside: WHOLE, cost: 'ejected', counted: 0 } as const;
/** After it: what went out stays out, and is counted. */
const AFTER = { alone: BROKEN, beside: BROKEN, cost: 'ejected', counted: 1 } as const;

export const FAULTS: readonly Fault[] = [
  { fault: 'the stream is refused', stream: true, handler: (stream) => stream.close(7), ...BEFORE },
  { fault: 'a reset before the head', stream: true, handler: reset, ...BEFORE },
  {
    fault: 'a reset after the head, before a byte',
    stream: true,
    handler(stream) {
      begin(stream);
      setImmediate(() => reset(stream));
    },
    ...BEFORE,
  },
  {
    fault: 'a stream that ends without a byte',
    stream: true,
    handler(stream) {
      begin(stream);
      stream.end();
    },
    ...BEFORE,
  },
  {
    fault: 'a reset after bytes',
    stream: true,
    handler(stream) {
      begin(stream);
      then(stream, () => reset(stream));
    },
    ...AFTER,
  },
  {
    fault: 'an answer that ends without its end',
    stream: true,
    handler(stream) {
      begin(stream);
      then(stream, () => stream.end());
    },
    ...AFTER,
  },
  {
    fault: 'a whole answer that is cut short',
    stream: false,
    handler(stream) {
      const text = JSON.stringify(COMPLETION);
      stream.respond({ ':status': 200, 'content-type': 'application/json', 'content-length': String(text.length) });
      stream.write(text.slice(0, 20), () => setImmediate(() => reset(stream)));
    },
    ...AFTER,
    alone: { status: 200, end: 'broken' },
    beside: { status: 200, end: 'broken' },
  },
  {
    fault: '429',
    stream: true,
    handler: says(429, { 'retry-after': '7' }),
    alone: { status: 429, end: 'engine' },
    beside: WHOLE,
    cost: 'nothing',
    counted: 0,
  },
  { fault: '500', stream: true, handler: says(500), ...BEFORE, alone: { status: 500, end: 'engine' } },
  {
    fault: '400, the caller’s own fault',
    stream: true,
    handler: says(400),
    alone: { status: 400, end: 'engine' },
    beside: { status: 400, end: 'engine' },
    cost: 'nothing',
    counted: 0,
  },
  {
    fault: 'malformed events, then a proper end',
    stream: true,
    handler(stream) {
      begin(stream);
      stream.end('data: {"choices": [oops\n\ndata: [DONE]\n\n');
    },
    alone: WHOLE,
    beside: WHOLE,
    cost: 'ejected',
    counted: 1,
  },
  {
    fault: 'bytes one by one',
    stream: true,
    handler(stream) {
      begin(stream);
      const bytes = Buffer.from(`${WORD}data: [DONE]\n\n`);
      let at = 0;
      const next = (): void => {
        if (at === bytes.byteLength) return void stream.end();
        stream.write(bytes.subarray(at, (at += 1)), () => setImmediate(next));
      };
      next();
    },
    alone: WHOLE,
    beside: WHOLE,
    cost: 'nothing',
    counted: 1,
  },
];

/** Those that are not one handler: each has a test of its own in `fault-matrix.test.ts`. */
export const FURTHER: readonly { readonly fault: string; readonly caller: string; readonly cost: string }[] = [
  {
    fault: 'silence for ten minutes, its link alive',
    caller: '504 `upstream.timeout`; not tried elsewhere: its time is up',
    cost: 'a failure of the engine',
  },
  {
    fault: 'silence in the middle of an answer (after its first token), its link alive',
    caller:
      'after `routing.stallTimeout` (60 s) the error event `upstream.timeout`; with `midstream: continue` another node goes on',
    cost: 'a failure of the engine',
  },
  {
    fault: 'a caller that reads nothing for four minutes',
    caller: 'its connection ends; the node is told to stop',
    cost: 'nothing',
  },
  {
    fault: 'a link that is cut in the middle and closed by nobody',
    caller:
      'the error event `upstream.interrupted` once three heartbeats are missed; with `midstream: continue` another node goes on',
    cost: 'out at once; it comes back by dialling anew',
  },
  {
    fault: 'the node is killed in the middle',
    caller: 'the error event `upstream.interrupted`; with `midstream: continue` another node goes on',
    cost: 'out at once',
  },
  {
    fault: 'the gateway is stopped in the middle',
    caller: 'the answer to its proper end, while nothing new is taken',
    cost: 'nothing',
  },
];

const CALLERS: Readonly<Record<RealFault['caller'], string>> = {
  whole: 'the whole text',
  interrupted: 'the beginning of the text, then the error event `upstream.interrupted`',
  'refused by the engine': 'the engine’s own 400',
};

export function page(): string {
  const seen = ({ status, end }: Seen): string => `${status} ${end}`;
  const rows = FAULTS.map(
    ({ fault, alone, beside, cost, counted }) =>
      `| ${fault} | ${seen(beside)} | ${seen(alone)} | ${cost === 'ejected' ? 'a failure: ejected by five in a row' : 'nothing'} | ${counted} |`,
  );
  return [
    '# Fault matrix',
    '',
    'What a caller sees when a node fails, what that costs the node, and how many usage records the request leaves. Printed from',
    '`tests/faults/faults.ts`, whose tests hold the gateway to every row (`FAULTS_PAGE=write npx vitest run tests/faults` prints it again). In every',
    'row each try is one request at one node of the pool, places and requests under way are back at zero, and nodes of other pools see nothing.',
    '`engine` stands for the engine’s own words, passed on.',
    '',
    '| fault of one node | its caller, another node being well | its caller, no other node being there | costs the node | usage records |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '| fault | its caller | costs the node |',
    '| --- | --- | --- |',
    ...FURTHER.map(({ fault, caller, cost }) => `| ${fault} | ${caller} | ${cost} |`),
    '',
    '## With real engines',
    '',
    'The same on real processes: two nodes with a real model each, real agents, a proxy that cuts, holds and spoils bytes between them',
    '(`tests/faults/real-faults.test.ts`). At temperature 0 a whole text is that of an answer which nothing disturbed, and what came before an',
    'error event is its beginning, to the character. The tries are what `subcloud request explain` tells; each answer is one usage record, at the node of its',
    'last try; a node of another pool with the same model sees nothing.',
    '',
    '| fault | its caller | tries |',
    '| --- | --- | --- |',
    ...REAL_FAULTS.map(({ fault, caller, tries }) => `| ${fault} | ${CALLERS[caller]} | ${tries.join(', then ')} |`),
    '',
  ].join('\n');
}
