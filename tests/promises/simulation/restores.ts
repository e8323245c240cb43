/** A backup at some moment, and its restore at a later one, when the network that it was taken of is gone. */
import { VERSIONS_AN_EPOCH } from '@subcloud/control/backup/restore-backup';
import type { Simulation } from './simulation.ts';
import type { Row } from './store/conditions.ts';
import type { Tables } from './store/rows.ts';
import { restartReplica } from './acts.ts';

export class Restores {
  #backup: Tables | undefined;
  #epoch = 1;
  done = 0;
  /** False is a planted fault. */
  raisesEpoch = true;

  backup({ store }: Simulation): void {
    this.#backup = store.backup();
  }

  /** As `restoreBackup` settles it: the epoch is raised, documents do not come back, leases may live. */
  restore(network: Simulation): void {
    const { store, replicas, clock, leader } = network;
    if (this.#backup === undefined) return;
    for (const replica of replicas) restartReplica(network, replica);
    store.restore(this.#backup);
    if (this.raisesEpoch) this.#epoch += 1;
    const epoch = this.#epoch;
    for (const [key, row] of store.rows('network')) {
      const reserved = Math.max(Number(row['table_version_reserved']), epoch * VERSIONS_AN_EPOCH);
      store.put('network', key, { ...row, epoch, table_version_reserved: reserved } satisfies Row);
    }
    store.clear('node_documents');
    for (const [key, row] of store.rows('gateway_leases'))
      store.put('gateway_leases', key, { ...row, leased_at: clock.nowMs() });
    leader.holder = '';
    // What was drained since the backup comes from the audit log of the real one.
    network.witness.drains.forget();
    this.done += 1;
  }
}
