/**
 * A gateway's side of the bench in a process of its own: the real watch client and table, every node linked, every node
 * document acknowledged at once. Told over IPC what to report and what to wait for.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { SignedDocument } from '@subcloud/contract/documents';
import { systemClock, systemRandom } from '@subcloud/kit/clock';
import { silentLog } from '@subcloud/kit/log';
import { controlClient } from '../../packages/gateway/src/watch/control-client.ts';
import { controlTime } from '../../packages/gateway/src/watch/control-time.ts';
import { createLease } from '../../packages/gateway/src/watch/lease.ts';
import { startReports } from '../../packages/gateway/src/watch/reports.ts';
import { startWatch } from '../../packages/gateway/src/watch/watch-client.ts';
import { MODEL, addressOf } from './fleet.ts';

/** `id` comes back with the answer. */
export type Command = { readonly id: number } & (
  | {
      readonly type: 'declare';
      readonly node: string;
      readonly document: SignedDocument;
      readonly pool: string;
      readonly present: boolean;
    }
  | { readonly type: 'revision'; readonly pool: string; readonly revision: number }
  | { readonly type: 'members'; readonly atLeast: number }
  | { readonly type: 'stall' }
);

const socket = process.argv[2] ?? '';
const clock = systemClock;
const common = {
  control: controlClient(socket),
  gatewayId: 'gw_bench',
  boot: `b${process.pid}`,
  clock,
  random: systemRandom,
  log: silentLog,
};
const delay = monitorEventLoopDelay({ resolution: 1 });
let waiting: { readonly sentMs: number; readonly done: () => boolean; readonly id: number }[] = [];
const nodes = new Set<string>();
const positions = new Map<string, { epoch: number; serial: number }>();

const reports = startReports({
  ...common,
  links: () =>
    [...nodes].map((node) => ({
      node,
      address: addressOf(Number.parseInt(node.slice('nod_bench'.length), 36)),
      ...(positions.get(node) ?? { epoch: 0, serial: 0 }),
    })),
  declarations: () => [],
});
const watch = startWatch({
  ...common,
  lease: createLease(clock),
  time: controlTime(clock),
  onFresh: () => reports.resync(),
  onChange(change) {
    for (const [node, row] of change.nodes) {
      if (row === undefined) nodes.delete(node);
      else nodes.add(node);
    }
    for (const [node, row] of change.documents) {
      if (row === undefined) continue;
      positions.set(node, { epoch: row.epoch, serial: row.serial });
      reports.add({ type: 'document-acknowledged', node, epoch: row.epoch, serial: row.serial });
    }
    settle();
  },
});
delay.enable();

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
  for (const { byModel } of watch.table().poolIndexes.values())
    for (const rows of byModel.values()) members += rows.length;
  return members;
};
const isMember = (pool: string, node: string): boolean =>
  watch
    .table()
    .poolIndexes.get(pool)
    ?.byModel.get(MODEL)
    ?.some((row) => row.node === node) === true;

process.on('message', (command: Command) => {
  const sentMs = performance.now();
  const { id } = command;
  switch (command.type) {
    case 'declare':
      waiting.push({ sentMs, id, done: () => isMember(command.pool, command.node) === command.present });
      reports.add({ type: 'declaration', node: command.node, document: command.document });
      break;
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
    case 'stall':
      process.send?.({ id, ms: delay.max / 1e6 });
      delay.reset();
      return;
  }
  settle();
});
process.once('disconnect', () => process.exit(0));
