/**
 * A gateway's side of the bench in a process of its own: the real watch client and table, every node linked, every node
 * document acknowledged at once. Told over IPC what to report and what to wait for.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { SignedDocument } from '@subcloud/contract/documents';
import type { DocumentRow } from '@subcloud/contract/table';
import type { ReportEvent } from '@subcloud/contract/watch';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import type { TableChange } from '../../packages/gateway/src/table/routing-table.ts';
import { controlClient } from '../../packages/gateway/src/watch/control-client.ts';
import { socketTransport } from '../../packages/gateway/src/watch/control-transport.ts';
import { controlTime } from '../../packages/gateway/src/watch/control-time.ts';
import { createLease } from '../../packages/gateway/src/watch/lease.ts';
import { startReports } from '../../packages/gateway/src/watch/reports.ts';
import { startWatch } from '../../packages/gateway/src/watch/watch-client.ts';
import { addressOf, declaration, groupOf, nodeName, sizeOf } from './fleet.ts';

/** `id` comes back with the answer. */
export type Command = { readonly id: number } & (
  | {
      readonly type: 'declare';
      readonly index: number;
      readonly group: string;
      readonly serial: number;
      readonly pool: string;
      readonly present: boolean;
    }
  | { readonly type: 'revision'; readonly pool: string; readonly revision: number }
  | { readonly type: 'members'; readonly atLeast: number }
  /** Answered at once, with how many there are. */
  | { readonly type: 'count' }
  /** A watch has been opened since this many had been. */
  | { readonly type: 'watches'; readonly atLeast: number }
  | { readonly type: 'stall' }
);

const [folder = '', networkId = '', nodeCount = '0', subcloudCount = '0'] = process.argv.slice(2);
const size = sizeOf(Number(nodeCount), Number(subcloudCount));
const clock = systemClock;
const common = {
  control: controlClient(socketTransport(folder)),
  gatewayId: 'gw_bench',
  boot: `b${process.pid}`,
  clock,
  random: systemRandom,
  log: silentLog,
};
const delay = monitorEventLoopDelay({ resolution: 1 });
let waiting: { readonly sentMs: number; readonly done: () => boolean; readonly id: number }[] = [];
/** What stands for the links of a real gateway: each node's document position, and the last that its agent declared. */
interface Link {
  readonly node: string;
  readonly address: string;
  epoch: number;
  serial: number;
  declaration: SignedDocument;
}
let watches = 0;
const startedMs = Date.now();
const links = new Map<string, Link>();
for (let index = 0; index < size.nodes; index++) {
  const document = declaration(networkId, index, groupOf(size, index), 1, startedMs);
  const node = nodeName(index);
  links.set(node, { node, address: addressOf(index), epoch: 0, serial: 0, declaration: document });
}

const reports = startReports({
  ...common,
  links: () => [...links.values()].map(({ node, address, epoch, serial }) => ({ node, address, epoch, serial })),
  declaration(node): ReportEvent | undefined {
    const document = links.get(node)?.declaration;
    return document === undefined ? undefined : { type: 'declaration', node, document };
  },
  drained: () => [],
});
const watch = startWatch({
  shares: { reported: () => ({ lo: 0, hi: 0, sequence: 0 }), granted: () => undefined },
  ...common,
  lease: createLease(clock),
  time: controlTime(clock),
  onFresh() {
    watches += 1;
    reports.resync();
    settle();
  },
  onChange(change) {
    // The rows of a snapshot are in the table alone.
    acknowledge((change.whole ? documentsOf(change) : change.documents)[Symbol.iterator]());
    settle();
  },
});
/** What the agents do, who are no part of a gateway: some of them at a time. */
function acknowledge(documents: Iterator<readonly [string, DocumentRow | undefined]>): void {
  for (let some = 0; some < 100; some++) {
    const next = documents.next();
    if (next.done === true) return;
    const [node, row] = next.value;
    const link = links.get(node);
    if (row === undefined || link === undefined || row.serial <= link.serial) continue;
    link.epoch = row.epoch;
    link.serial = row.serial;
    reports.add({ type: 'document-acknowledged', node, epoch: row.epoch, serial: row.serial });
  }
  setImmediate(acknowledge, documents);
}

delay.enable();
/** The most CPU that the loop's thread used between two ticks: a stall as it would be with the machine to itself. */
let longestCpuMs = 0;
let used = process.threadCpuUsage();
setInterval(() => {
  const { user, system } = process.threadCpuUsage(used);
  longestCpuMs = Math.max(longestCpuMs, (user + system) / 1_000);
  used = process.threadCpuUsage();
}, 1);

function* documentsOf({ table }: TableChange): Iterable<[string, DocumentRow]> {
  for (const row of table.documents.values()) yield [row.node, row];
}

function settle(): void {
  const now = performance.now();
  waiting = waiting.filter((wait) => {
    if (!wait.done()) return true;
    process.send?.({ id: wait.id, ms: now - wait.sentMs });
    return false;
  });
}

const memberCount = (): number => {
  let members = 0;
  for (const index of watch.table().poolIndexes.values()) members += index.members.size;
  return members;
};
const isMember = (pool: string, node: string): boolean =>
  watch.table().poolIndexes.get(pool)?.members.get(node) !== undefined;

process.on('message', (command: Command) => {
  const sentMs = performance.now();
  const { id } = command;
  switch (command.type) {
    case 'declare': {
      const node = nodeName(command.index);
      const document = declaration(networkId, command.index, command.group, command.serial, Date.now());
      const link = links.get(node);
      if (link !== undefined) link.declaration = document;
      waiting.push({ sentMs, id, done: () => isMember(command.pool, node) === command.present });
      reports.add({ type: 'declaration', node, document });
      break;
    }
    case 'revision':
      waiting.push({
        sentMs,
        id,
        done: () => watch.table().pools.get(command.pool)?.revision === command.revision,
      });
      break;
    case 'members':
      waiting.push({ sentMs, id, done: () => memberCount() >= command.atLeast });
      break;
    case 'count':
      process.send?.({ id, ms: memberCount() });
      return;
    case 'watches':
      waiting.push({ sentMs, id, done: () => watches >= command.atLeast });
      break;
    case 'stall':
      process.send?.({ id, ms: delay.max / 1e6, cpuMs: longestCpuMs });
      delay.reset();
      longestCpuMs = 0;
      return;
  }
  settle();
});
process.once('disconnect', () => process.exit(0));
