/** `subcloud top` as lines of text: pools, then nodes, as many as fit. */
import { type Cell, printable, table } from '../output.ts';
import type { Load } from './load.ts';

export const SORT_KEYS = ['name', 'requests', 'inflight', 'latency', 'failed', 'queue'] as const;
export type SortKey = (typeof SORT_KEYS)[number];

const POOL_HEADER = [
  'pool',
  'req/s',
  'failed/s',
  'refused/s',
  'tok/s',
  'in flight',
  'queue',
  'ttft p50',
  'p95',
  'tpot p50',
  'p95',
  'active',
  'other members',
];
const NODE_HEADER = ['node', 'id', 'online', 'in flight', 'engine run', 'wait', 'kv-cache', 'latency', 'health'];

export function loadLines(load: Load, sort: SortKey): { readonly pools: string[]; readonly nodes: string[] } {
  const pools = [...load.pools].sort(by(sort, POOL_ORDER)).map(poolCells);
  const nodes = [...load.nodes].sort(by(sort, NODE_ORDER)).map(nodeCells);
  return {
    pools: table(POOL_HEADER, pools, 'no Subcloud that you may explain').split('\n'),
    nodes: table(NODE_HEADER, nodes, 'no node of yours').split('\n'),
  };
}

/** The line above the tables. */
export function loadHead(load: Load, sort: SortKey): string {
  const { gateways, windowMs, nodesLeftOut } = load;
  return [
    windowMs === 0 ? 'waiting for gateways to report' : `last ${Math.max(1, Math.round(windowMs / 1_000))} s`,
    ...(gateways === null ? [] : [`${gateways.reporting} of ${gateways.leased} gateways`]),
    ...(nodesLeftOut === 0 ? [] : [`${nodesLeftOut} less busy nodes left out`]),
    `by ${sort}`,
  ].join(' · ');
}

/** A whole picture: exactly what fits `columns` and `rows`, the nodes cut first. */
export function screenLines(load: Load, sort: SortKey, columns: number, rows: number): string[] {
  const { pools, nodes } = loadLines(load, sort);
  const keys = 'q quit · s sort · +/- interval';
  const space = Math.max(0, rows - 4);
  const forNodes = Math.min(nodes.length, Math.max(Math.floor(space / 2), space - pools.length));
  const lines = [loadHead(load, sort), '', ...cut(pools, space - forNodes), '', ...cut(nodes, forNodes), keys];
  return lines.slice(0, rows).map((line) => line.slice(0, columns));
}

function cut(lines: readonly string[], room: number): string[] {
  if (lines.length <= room) return [...lines];
  return room < 1 ? [] : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more`];
}

type Pool = Load['pools'][number];
type Node = Load['nodes'][number];

function poolCells(pool: Pool): Cell[] {
  const { active = 0, ...others } = pool.members;
  return [
    pool.name,
    rate(pool.requestsPerS),
    rate(pool.failedPerS),
    rate(pool.refusedPerS),
    rate(pool.outputTokensPerS),
    pool.inFlight,
    pool.waiting,
    ms(pool.ttftMs?.p50),
    ms(pool.ttftMs?.p95),
    ms(pool.tpotMs?.p50),
    ms(pool.tpotMs?.p95),
    active,
    Object.entries(others)
      .map(([state, count]) => `${count} ${state}`)
      .join(', '),
  ];
}

function nodeCells(node: Node): Cell[] {
  return [
    printable(node.name),
    node.id,
    node.online,
    node.inFlight,
    node.engineRunning,
    node.engineWaiting,
    node.kvCacheUsed === null ? null : `${Math.round(node.kvCacheUsed * 100)} %`,
    ms(node.latencyMs),
    node.standing,
  ];
}

function rate(perS: number): string {
  return perS === 0 ? '0' : perS < 10 ? perS.toFixed(1) : String(Math.round(perS));
}

function ms(value: number | null | undefined): string | null {
  if (value === null || value === undefined) return null;
  return value < 10
    ? `${value.toFixed(1)} ms`
    : value < 10_000
      ? `${Math.round(value)} ms`
      : `${Math.round(value / 1_000)} s`;
}

type Order<Row> = Readonly<Record<SortKey, (row: Row) => number | string>>;

const POOL_ORDER: Order<Pool> = {
  name: ({ name }) => name,
  requests: ({ requestsPerS }) => requestsPerS,
  inflight: ({ inFlight }) => inFlight,
  latency: ({ ttftMs }) => ttftMs?.p95 ?? 0,
  failed: ({ failedPerS }) => failedPerS,
  queue: ({ waiting }) => waiting,
};
const NODE_ORDER: Order<Node> = {
  name: ({ name }) => name,
  requests: ({ inFlight }) => inFlight ?? -1,
  inflight: ({ inFlight }) => inFlight ?? -1,
  latency: ({ latencyMs }) => latencyMs ?? 0,
  failed: ({ standing }) => ['in', 'slow-start', 'half-open', 'draining', 'ejected'].indexOf(standing ?? 'in'),
  queue: ({ engineWaiting }) => engineWaiting ?? 0,
};

/** Most first; names in their own order, and where all else is equal. */
function by<Row extends { readonly name: string }>(sort: SortKey, order: Order<Row>): (a: Row, b: Row) => number {
  const byName = (a: Row, b: Row): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  return (a, b) => {
    const [of, other] = [order[sort](a), order[sort](b)];
    return typeof of === 'number' && typeof other === 'number' ? other - of || byName(a, b) : byName(a, b);
  };
}
