/** A world without a store, for passes that are looked at by themselves, and a database that takes every statement and remembers nothing. */
import type { Database } from '@subcloud/control/store/database';
import { globalRecord } from '@subcloud/control/world/subcloud-record';
import { nobody } from '@subcloud/control/world/people';
import { noShare } from '@subcloud/control/world/isolation-rules';
import { GLOBAL_ID, type NodeRecord, type World } from '@subcloud/control/world/world';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import type { SimulatedAgent } from './agent.ts';
import { NETWORK_ID } from './store.ts';

const NOT_STORED = {
  drained: { serial: 0, pools: [] },
  admitted: new Map(),
  facts: undefined,
  dueMs: null,
  decidedAtMs: 0,
  lossVersion: 0,
} as const;

export function openNoDatabase(): Database {
  return new Kysely({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
}

/** A network whose agents are enrolled and have said nothing yet. */
export function firstWorld(agents: readonly SimulatedAgent[], nowMs: number): World {
  return {
    networkId: NETWORK_ID,
    epoch: 1,
    nodes: new Map(agents.map((agent) => [agent.id, newNode(agent, nowMs)])),
    subclouds: new Map([[GLOBAL_ID, globalRecord(nowMs)]]),
    subcloudByName: new Map([['global', GLOBAL_ID]]),
    retiredNames: new Map(),
    credentials: new Map(),
    places: [],
    attesters: new Map(),
    audits: new Map(),
    people: nobody(),
    revokedStatements: new Map(),
    domains: new Map(),
    bindings: new Map(),
    bans: new Map(),
    isolationShare: noShare(),
    gateways: new Map(),
    links: new Map(),
    unheard: new Map(),
  };
}

function newNode(agent: SimulatedAgent, enrolledAtMs: number): NodeRecord {
  return {
    id: agent.id,
    name: agent.id,
    operator: agent.operator,
    publicKey: agent.key.publicKey,
    enrolledAtMs,
    lastSeenAtMs: null,
    toldOnline: false,
    confirmedAtMs: 0,
    address: null,
    agentVersion: null,
    declarationSerial: 0,
    consent: null,
    concurrency: null,
    claims: [],
    memberships: new Map(),
    answers: new Map(),
    document: undefined,
    ...NOT_STORED,
  };
}
