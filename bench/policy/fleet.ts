/**
 * A fleet as large as asked, written straight into the store: nodes of twenty groups, fifteen claims each, and Subclouds
 * that each admit one group, so that a node is a member of at most five.
 */
import pg from 'pg';
import { generateSigningKey, type SigningKey, signDocument } from '@subcloud/kit/signing';
import type { SignedDocument } from '@subcloud/contract/documents';

export const GROUPS = 20;
export const MODEL = 'bench/model';
const OPERATOR = 'org:bench';
const COUNTRIES = ['DE', 'FR', 'NL', 'ES', 'IT', 'SE', 'PL', 'AT'];
/** Nodes whose facts the load changes have real keys; the others never sign. */
export const CHANGING = 400;

export interface Fleet {
  readonly networkId: string;
  readonly keys: ReadonlyMap<string, SigningKey>;
}

export const nodeName = (index: number): string => `nod_bench${index.toString(36)}`;
export const poolName = (index: number): string => `pool-${index}`;
export const groupOf = (index: number): string => `g${index % GROUPS}`;

export async function writeFleet(databaseUrl: string, networkId: string, nodes: number, nowMs: number): Promise<Fleet> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await using _closing = { [Symbol.asyncDispose]: () => client.end() };
  const keys = new Map<string, SigningKey>();
  for (let index = 0; index < Math.min(CHANGING, nodes); index++) keys.set(nodeName(index), generateSigningKey());
  await client.query('insert into principals (id, created_at) values ($1, $2)', [OPERATOR, nowMs]);
  const consent = { global: true, autoJoin: 'all', isolation: 'shared', join: [] };
  for (let start = 0; start < nodes; start += 2_000) {
    const batch = Array.from({ length: Math.min(2_000, nodes - start) }, (_, offset) => start + offset);
    await client.query(
      `insert into nodes (id, name, operator, public_key, enrolled_at, last_seen_at, address, agent_version, declaration_serial, consent, concurrency)
       select id, id, $2, key, $3, $3, address, 'bench', 1, $4, 8 from jsonb_to_recordset($1::jsonb) as given (id text, key text, address text)`,
      [
        JSON.stringify(
          batch.map((index) => ({
            id: nodeName(index),
            key: keys.get(nodeName(index))?.publicKey ?? fakeKey(index),
            address: addressOf(index),
          })),
        ),
        OPERATOR,
        nowMs,
        JSON.stringify(consent),
      ],
    );
    const claims = batch.flatMap((index) => claimsOf(index, nowMs));
    await client.query(
      `insert into claims (id, node_id, fact, value, source, issuer, issued_at, confirmed_at, expires_at, document, content_hash)
       select id, node, fact, value, source, issuer, $2, $2, expires, case when source = 'attested' then '{}'::jsonb end, case when source = 'attested' then id end from jsonb_to_recordset($1::jsonb) as given (id text, node text, fact text, value jsonb, source text, issuer text, expires bigint)`,
      [JSON.stringify(claims), nowMs],
    );
  }
  await client.query('analyze');
  return { networkId, keys };
}

export function addressOf(index: number): string {
  return `127.${1 + (index % COUNTRIES.length)}.${(index >> 8) & 255}.${index & 255}`;
}

/** Where the addresses of the fleet are. */
export const PLACES = COUNTRIES.map((country, index) => ({ cidr: `127.${1 + index}.0.0/16`, country }));

function claimsOf(index: number, nowMs: number): object[] {
  const node = nodeName(index);
  const claim = (
    fact: string,
    value: unknown,
    source: string,
    issuer: string,
    expiresInMs: number | null = null,
  ): object => ({
    id: `clm_${index.toString(36)}x${source}x${fact.toLowerCase()}x${issuer.replace(/[^a-z0-9]/g, '')}`,
    node,
    fact,
    value,
    source,
    issuer,
    expires: expiresInMs === null ? null : nowMs + expiresInMs,
  });
  const day = 86_400_000;
  const gpus = [{ model: 'H100', driverName: 'NVIDIA H100 80GB HBM3', vramGiB: 79.6, confidential: true }];
  const country = COUNTRIES[index % COUNTRIES.length] ?? 'DE';
  const own = `node:${node}`;
  return [
    claim('location', { candidates: [{ country }], evidence: 'map' }, 'measured', 'network'),
    claim('location', { candidates: [{ country }], evidence: 'agent.yaml' }, 'declared', own, day),
    claim('location', { candidates: [{ country }], evidence: 'attested' }, 'attested', 'network', 30 * day),
    claim(
      'models',
      [
        {
          id: MODEL,
          digest: `sha256:${'a'.repeat(64)}`,
          quantization: 'fp16',
          modalities: ['text'],
          contextLength: 8192,
        },
      ],
      'declared',
      own,
      day,
    ),
    claim('labels', { group: groupOf(index), rack: `r${index % 40}` }, 'declared', own, day),
    claim('hardware', { gpus }, 'declared', own, day),
    claim('hardware', { gpus }, 'attested', 'network', 90 * day),
    claim('hardware', { gpus }, 'attested', 'nvidia', 90 * day),
    claim('operatorSeat', { country }, 'attested', 'network', 365 * day),
    claim('trustLevel', 'verified', 'attested', 'network', 90 * day),
    claim('reputation', 0.97, 'attested', 'network', 90 * day),
    claim('stake', '5000 CREDIT', 'attested', 'network', 90 * day),
    claim('uptime30d', 0.999, 'measured', 'network'),
    claim('trustLevel', 'identified', 'measured', 'network'),
    claim('reputation', 0.95, 'measured', 'network'),
  ];
}

function fakeKey(index: number): string {
  return index.toString(36).padStart(43, 'A');
}

export function manifestOf(index: number, minReputation = 0.9): object {
  return {
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name: poolName(index), owner: OPERATOR },
    spec: {
      models: { allow: [{ id: MODEL }], quantization: { min: 'fp16' } },
      nodes: {
        location: { in: ['EU'] },
        hardware: { gpu: { model: ['H100', 'H200'], vramGiB: { min: 79 }, confidential: true }, source: 'attested' },
        trust: { level: 'verified', reputation: { min: minReputation }, source: 'attested' },
        labels: { group: groupOf(index) },
      },
      participation: { mode: 'open', autoJoin: true },
    },
  };
}

/** The node says that it is of this group. */
export function declaration(fleet: Fleet, node: string, group: string, serial: number, nowMs: number): SignedDocument {
  const key = fleet.keys.get(node);
  if (key === undefined) throw new Error(`${node} has no key`);
  return signDocument(key, 'declaration', {
    version: 1,
    networkId: fleet.networkId,
    nodeId: node,
    serial,
    issuedAt: nowMs,
    models: [
      {
        id: MODEL,
        digest: `sha256:${'a'.repeat(64)}`,
        quantization: 'fp16',
        modalities: ['text'],
        contextLength: 8192,
      },
    ],
    labels: { group, rack: 'r1' },
    hardware: null,
    location: null,
    consent: { global: true, autoJoin: 'all', isolation: 'shared', join: [] },
    concurrency: 8,
    agentVersion: 'bench',
  });
}
