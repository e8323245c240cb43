/** What is in the store of a network whose agents are enrolled and have said nothing yet. */
import type { SimulatedAgent } from './agent.ts';
import { OPERATORS } from './choices.ts';
import { keyOf } from './store/rows.ts';
import type { SimulatedStore } from './store/store.ts';
import type { Row } from './store/conditions.ts';

export const NETWORK_ID = 'net_sim';

export interface FirstGateway {
  readonly id: string;
  readonly by: 'socket' | 'tls';
}

export function firstRows(
  store: SimulatedStore,
  agents: readonly SimulatedAgent[],
  gateways: readonly FirstGateway[],
  nowMs: number,
): void {
  const put = (table: string, row: Row): void => store.put(table, keyOf(table, row), row);
  put('network', { id: NETWORK_ID, epoch: 1, created_at: nowMs, table_version_reserved: 1 });
  for (const id of OPERATORS) put('principals', { id, created_at: nowMs, network_role: null });
  for (const { id, by } of gateways)
    put('gateways', { id, name: null, url: null, by, public_key: null, enrolled_at: nowMs, removed_at: null });
  for (const agent of agents) {
    put('nodes', {
      id: agent.id,
      name: agent.id,
      operator: agent.operator,
      public_key: agent.key.publicKey,
      enrolled_at: nowMs,
      last_seen_at: null,
      told_online: false,
      address: null,
      agent_version: null,
      declaration_serial: 0,
      consent: null,
      concurrency: null,
      drained_at: null,
      drained_by: null,
      drain_reason: null,
      removed_at: null,
    });
  }
}
