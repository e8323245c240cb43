/** Nodes as the scheduler sees them, without sockets: rows, links and records that a simulation moves. */
import type { MemberRow, NodeRow } from '@subcloud/contract/table';
import type { NodeLink } from '@subcloud/gateway/link/node-link';
import type { PickView } from '@subcloud/gateway/schedule/filter';
import { NodeStats } from '@subcloud/gateway/schedule/node-stats';

export const MODEL = 'm';

export interface Fleet {
  readonly members: readonly MemberRow[];
  readonly links: readonly NodeLink[];
  view(nowMs: number): PickView;
}

export function fleetOf(size: number): Fleet {
  const nodes = new Map<string, NodeRow>();
  const byNode = new Map<string, NodeLink>();
  const members: MemberRow[] = [];
  for (let index = 0; index < size; index += 1) {
    const id = `nod_${index.toString(36).padStart(8, '0')}`;
    nodes.set(id, { id, publicKey: '', operator: 'user:op', measuredAddress: '127.0.0.1', concurrency: null });
    const link = { node: id, address: '127.0.0.1', inFlight: 0, draining: false, closed: false };
    byNode.set(id, { ...link, lastHeardMs: Number.POSITIVE_INFINITY, stats: new NodeStats() } as unknown as NodeLink);
    members.push({ pool: 'global', node: id, models: [MODEL], validUntil: null });
  }
  return {
    members,
    links: [...byNode.values()],
    view: (nowMs) => ({
      nodes,
      links: byNode,
      controlNowMs: nowMs,
      monotonicMs: nowMs,
      tried: [],
      model: MODEL,
      stream: true,
    }),
  };
}

/** Of an exponential distribution. */
export function exponential(mean: number, random: () => number): number {
  return -mean * Math.log(1 - random());
}

/** Things that happen at a time, in the order of their times. */
export class Agenda {
  readonly #heap: { readonly atMs: number; readonly act: () => void }[] = [];

  add(atMs: number, act: () => void): void {
    const heap = this.#heap;
    heap.push({ atMs, act });
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#earlier(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Does everything that is due by then. */
  runUntil(nowMs: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= nowMs; next = this.#heap[0]) {
      this.#removeFirst();
      next.act();
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && this.#earlier(child, least)) least = child;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #earlier(a: number, b: number): boolean {
    return (this.#heap[a]?.atMs ?? 0) < (this.#heap[b]?.atMs ?? 0);
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return;
    this.#heap[a] = second;
    this.#heap[b] = first;
  }
}
