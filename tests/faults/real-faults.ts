/**
 * Faults of real engines, agents and links, and of the gateway's own end: what is done, what the caller sees, what the decision
 * record says of each try. `real-faults.test.ts` holds the network to every row; `docs/fault-matrix.md` is printed from them.
 */
import type { Exchange } from './engine-proxy.ts';

export interface RealFault {
  readonly fault: string;
  /** Where the exchange is when it happens. */
  readonly at: 'asked' | 'head' | 'middle';
  /** What happens, and where. */
  readonly what: /** To the bytes between agent and engine. */
    | { readonly proxy: (exchange: Exchange) => void }
    /** To the engine's process; `stop` is SIGSTOP, and SIGCONT once the caller has all that came before. */
    | { readonly engine: 'kill' | 'stop' }
    /** It has as many requests as it takes, of others. */
    | { readonly engine: 'full' }
    /** Nothing listens there, and nobody has noticed yet. */
    | { readonly engine: 'gone' }
    /** Nothing: the request itself is one that the engine refuses. */
    | { readonly request: object }
    | { readonly agent: 'kill' }
    /** To the bytes between agent and gateway. */
    | { readonly link: 'end' | 'reset' }
    /** SIGTERM while the engine is stopped in the middle; it goes on afterwards. */
    | { readonly gateway: 'drain' };
  /** The whole text, that of an answer which nothing disturbed; or its beginning and then the error event. */
  readonly caller: 'whole' | 'interrupted' | 'refused by the engine';
  /** Of each try, in order, as `request explain` tells it. */
  readonly tries: readonly string[];
}

const DROP = undefined;
const flipped = (piece: Buffer): readonly Buffer[] => [Buffer.from(piece.map((byte) => byte ^ 0x55))];

export const REAL_FAULTS: readonly RealFault[] = [
  {
    fault: 'the engine’s port refuses connections',
    at: 'asked',
    what: { engine: 'gone' },
    caller: 'whole',
    tries: ['refused: 502', 'answered'],
  },
  {
    fault: 'the engine’s connection is reset before the head',
    at: 'head',
    what: { proxy: ({ agent }) => agent.resetAndDestroy() },
    caller: 'whole',
    tries: ['refused: 502', 'answered'],
  },
  {
    fault: 'its connection is closed by it before the head',
    at: 'head',
    what: {
      proxy(exchange) {
        exchange.through = DROP;
        exchange.agent.end();
      },
    },
    caller: 'whole',
    tries: ['refused: 502', 'answered'],
  },
  {
    fault: 'kill -9 of the engine before the head',
    at: 'asked',
    what: { engine: 'kill' },
    caller: 'whole',
    tries: ['refused: 502', 'answered'],
  },
  {
    fault: 'the engine hangs before the head (SIGSTOP), then goes on',
    at: 'asked',
    what: { engine: 'stop' },
    caller: 'whole',
    tries: ['answered'],
  },
  {
    fault: 'bytes that are no HTTP, before the head',
    at: 'head',
    what: { proxy: (exchange) => (exchange.through = flipped) },
    caller: 'whole',
    tries: ['refused: 502', 'answered'],
  },
  {
    fault: 'its connection is reset in the middle',
    at: 'middle',
    what: { proxy: ({ agent }) => agent.resetAndDestroy() },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'its connection is half closed in the middle',
    at: 'middle',
    what: {
      proxy(exchange) {
        exchange.through = DROP;
        exchange.agent.end();
      },
    },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'bytes that are no HTTP, in the middle',
    at: 'middle',
    what: { proxy: (exchange) => (exchange.through = flipped) },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'bytes one by one',
    at: 'middle',
    what: { proxy: (exchange) => (exchange.through = (piece) => Array.from(piece, (byte) => Buffer.of(byte))) },
    caller: 'whole',
    tries: ['answered'],
  },
  {
    fault: 'the engine hangs in the middle (SIGSTOP), then goes on',
    at: 'middle',
    what: { engine: 'stop' },
    caller: 'whole',
    tries: ['answered'],
  },
  {
    fault: 'kill -9 of the engine in the middle',
    at: 'middle',
    what: { engine: 'kill' },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'the link is reset in the middle',
    at: 'middle',
    what: { link: 'reset' },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'the link is half closed in the middle',
    at: 'middle',
    what: { link: 'end' },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'kill -9 of the agent in the middle',
    at: 'middle',
    what: { agent: 'kill' },
    caller: 'interrupted',
    tries: ['interrupted'],
  },
  {
    fault: 'the engine is full and says 429',
    at: 'asked',
    what: { engine: 'full' },
    caller: 'whole',
    tries: ['refused: 429', 'answered'],
  },
  {
    fault: 'the engine refuses what is asked, with 400',
    at: 'asked',
    what: { request: { temperature: 99 } },
    caller: 'refused by the engine',
    tries: ['refused: 400'],
  },
  {
    fault: 'SIGTERM of the gateway in the middle',
    at: 'middle',
    what: { gateway: 'drain' },
    caller: 'whole',
    tries: ['answered'],
  },
];
