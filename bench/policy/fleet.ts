/**
 * A fleet as large as asked, written straight into the store: nodes in groups, fifteen claims each, and Subclouds that each
 * admit one group, so that a node is a member of five beside `global`.
 */
import pg from 'pg';
import { contentHash, subcloudRecord } from '@subcloud/control/world/subcloud-record';
import { signDocument } from '@subcloud/kit/signing';
import type { SignedDocument } from '@subcloud/contract/documents';
import { subcloudManifest } from '@subcloud/policy/manifest';
import { simulatedKey } from '@subcloud/testkit/simulated-agents';

/** Memberships of a node beside `global`. */
const MEMBERSHIPS = 5;
export const MODEL = 'bench/model';
const OPERATOR = 'org:bench' as const;
const COUNTRIES = ['DE', 'FR', 'NL', 'ES', 'IT', 'SE', 'PL', 'AT'];
export const nodeName = (index: number): string => `nod_bench${index.toString(36)}`;
export const poolName = (index: number): string => `pool-${index}`;

/** How large a fleet is, and how it is split. */
export interface Size {
  readonly nodes: number;
  readonly subclouds: number;
  readonly groups: number;
}

export function sizeOf(nodes: number, subclouds: number): Size {
  return { nodes, subclouds, groups: Math.max(1, Math.ceil(subclouds / MEMBERSHIPS)) };
}

/** Group of a node or of a Subcloud. */
export const groupOf = ({ groups }: Size, index: number): string => `g${index % groups}`;

/** How many rows the table has for members when everything has settled. */
export function membersOf({ nodes, subclouds, groups }: Size): number {
  let members = nodes;
  for (let index = 0; index < subclouds; index++) members += Math.ceil((nodes - (index % groups)) / groups);
  return members;
}

export async function writeFleet(
  databaseUrl: string,
  size: Size,
  nowMs: number,
  say: (text: string) => void,
): Promise<void> {
  const { nodes } = size;
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await using _closing = { [Symbol.asyncDispose]: () => client.end() };
  await client.query('insert into principals (id, created_at) values ($1, $2)', [OPERATOR, nowMs]);
  const consent = { global: true, autoJoin: 'all', isolation: 'shared', join: [] };
  for (let start = 0; start < nodes; start += 2_000) {
    if (start > 0 && start % 10_000 === 0) say(`${start} of ${nodes} nodes written`);
    const batch = Array.from({ length: Math.min(2_000, nodes - start) }, (_, offset) => start + offset);
    await client.query(
      `insert into nodes (id, name, operator, public_key, enrolled_at, last_seen_at, address, agent_version, declaration_serial, consent, concurrency)
       select id, id, $2, key, $3, $3, address, 'bench', 1, $4, 8 from jsonb_to_recordset($1::jsonb) as given (id text, key text, address text)`,
      [
        JSON.stringify(
          batch.map((index) => ({
            id: nodeName(index),
            key: simulatedKey(index).publicKey,
            address: addressOf(index),
          })),
        ),
        OPERATOR,
        nowMs,
        JSON.stringify(consent),
      ],
    );
    const claims = batch.flatMap((index) => claimsOf(size, index, nowMs));
    await client.query(
      `insert into claims (id, node_id, fact, value, source, issuer, issued_at, confirmed_at, expires_at, document, content_hash)
       select id, node, fact, value, source, issuer, $2, $2, expires, case when source = 'attested' then '{}'::jsonb end, case when source = 'attested' then id end from jsonb_to_recordset($1::jsonb) as given (id text, node text, fact text, value jsonb, source text, issuer text, expires bigint)`,
      [JSON.stringify(claims), nowMs],
    );
  }
  await writePlaces(client);
  await writeSubclouds(client, size, nowMs);
  await client.query('analyze');
}

export function addressOf(index: number): string {
  return `127.${1 + (index % COUNTRIES.length)}.${(index >> 8) & 255}.${index & 255}`;
}

/** Where the addresses of the fleet are. */
export const PLACES = COUNTRIES.map((country, index) => ({ cidr: `127.${1 + index}.0.0/16`, country }));

function claimsOf(size: Size, index: number, nowMs: number): object[] {
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
    claim('labels', { group: groupOf(size, index), rack: `r${index % 40}` }, 'declared', own, day),
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

export function manifestOf(size: Size, index: number, minReputation = 0.9): object {
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
        labels: { group: groupOf(size, index) },
      },
      participation: { mode: 'open', autoJoin: true },
    },
  };
}

async function writePlaces(client: pg.Client): Promise<void> {
  for (const { cidr, country } of PLACES)
    await client.query('insert into places (cidr, country) values ($1, $2)', [cidr, country]);
}

/** As an apply stores them, in a few statements: thousands of applies would each reconcile the whole fleet. */
async function writeSubclouds(client: pg.Client, size: Size, nowMs: number): Promise<void> {
  const rows = Array.from({ length: size.subclouds }, (_, index) => {
    const manifest = subcloudManifest.parse(manifestOf(size, index));
    const revision = { id: `sub_bench${index.toString(36)}`, owner: OPERATOR, revision: 1, manifest, source: '' };
    const { effectiveHash } = subcloudRecord({ ...revision, createdAtMs: nowMs, updatedAtMs: nowMs });
    return {
      id: revision.id,
      name: poolName(index),
      manifest,
      content: contentHash(manifest),
      effective: effectiveHash,
    };
  });
  const given = JSON.stringify(rows);
  await client.query(
    `insert into subclouds (id, name, owner, revision, created_at, updated_at)
     select id, name, $2, 1, $3, $3 from jsonb_to_recordset($1::jsonb) as given (id text, name text)`,
    [given, OPERATOR, nowMs],
  );
  await client.query(
    `insert into revisions (subcloud_id, number, manifest, source, content_hash, effective_hash, created_at, created_by)
     select id, 1, manifest, manifest::text, content, effective, $2, 'admin'
     from jsonb_to_recordset($1::jsonb) as given (id text, manifest jsonb, content text, effective text)`,
    [given, nowMs],
  );
}

/** The node says that it is of this group. */
export function declaration(
  networkId: string,
  index: number,
  group: string,
  serial: number,
  nowMs: number,
): SignedDocument {
  return signDocument(simulatedKey(index), 'declaration', {
    version: 1,
    networkId,
    nodeId: nodeName(index),
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
