/** From a manifest's text through control's rows and the gateway's table to a decision, against the naive model. */
import { AppError } from '@subcloud/contract/errors';
import { type CredentialRow, type PoolRow, rowKey } from '@subcloud/contract/table';
import type { PrincipalId } from '@subcloud/contract/vocabulary';
import { poolAccess } from '@subcloud/control/compile/access-rows';
import { bannedCallers } from '@subcloud/control/world/bans';
import { authorise } from '@subcloud/gateway/request/authorise';
import { EMPTY_TABLE, type RoutingTable, TableBuilder } from '@subcloud/gateway/table/routing-table';
import { parseManifest } from '@subcloud/policy/parse-manifest';
import { poolRow } from '@subcloud/testkit/test-gateway';
import { untilSeen } from '@subcloud/testkit/until-seen';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type NaiveCredential, type NaiveNetwork, type NaivePool, naiveAccess } from './naive-access.ts';

const NAMES = ['red', 'green', 'blue'];
const USERS = ['user:ann', 'user:bob', 'user:cleo'];
const TEAMS = ['team:acme/ml', 'team:acme/ops', 'team:umbrella/lab'];
const ORGS = ['org:acme', 'org:umbrella'];
const RANGES = ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.0/24', '0.0.0.0/0', '198.51.100.7/32'];
const ADDRESSES = ['10.0.0.1', '10.1.2.3', '192.0.2.9', '198.51.100.7', '203.0.113.1'];

const some = (of: readonly string[]) => fc.subarray([...of], { maxLength: 2 });
const pool = (name: string): fc.Arbitrary<NaivePool> =>
  fc.record({
    name: fc.constant(name),
    owner: fc.constantFrom(...USERS, ...TEAMS, ...ORGS),
    require: fc.constantFrom('any' as const, 'all' as const),
    tokens: fc.boolean(),
    whitelist: fc.option(
      fc.record({ accounts: some(USERS), teams: some(TEAMS), orgs: some(ORGS), cidrs: some(RANGES) }),
      { nil: undefined },
    ),
    binding: some([...USERS, ...TEAMS, ...ORGS, 'token:tok_1', 'token:key_1']),
    banned: fc.oneof(fc.constant([]), some([...USERS, ...TEAMS, ...ORGS])),
  });
const credential: fc.Arbitrary<NaiveCredential> = fc.oneof(
  fc.record({
    id: fc.constantFrom('key_1', 'key_2'),
    principal: fc.constantFrom(...USERS, ...TEAMS, ...ORGS),
    opens: fc.constant(undefined),
  }),
  fc.record({
    id: fc.constantFrom('tok_1', 'tok_2'),
    principal: fc.constantFrom(...USERS),
    opens: fc.constantFrom(...NAMES),
  }),
);
const network: fc.Arbitrary<NaiveNetwork & { readonly memberships: ReadonlyMap<string, readonly string[]> }> = fc
  .record({
    pools: fc.tuple(...NAMES.map(pool)).chain((pools) => fc.subarray(pools)),
    global: fc.constant<NaivePool>({
      name: 'global',
      owner: null,
      require: 'any',
      tokens: false,
      whitelist: undefined,
      binding: [],
      banned: [],
    }),
    members: fc.tuple(...USERS.map(() => fc.subarray(TEAMS))),
    extra: fc.tuple(...USERS.map(() => some(ORGS))),
    accepts: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 6 }),
  })
  .map(({ pools, global, members, extra, accepts }) => {
    const memberships = new Map<string, readonly string[]>();
    USERS.forEach((user, index) => {
      const teams = members[index] ?? [];
      memberships.set(user, [...new Set([...teams, ...teams.flatMap(orgOf), ...(extra[index] ?? [])])]);
    });
    for (const team of TEAMS) memberships.set(team, orgOf(team));
    const accepted = new Map<string, string>();
    for (const [who, where] of accepts) {
      const at = pools[where % Math.max(1, pools.length)];
      const bound = at?.binding[who % Math.max(1, at.binding.length)];
      if (at !== undefined && bound !== undefined && !accepted.has(bound)) accepted.set(bound, at.name);
    }
    return { pools: [global, ...pools], accepted, memberships, belongsTo: (id: string) => memberships.get(id) ?? [] };
  });

function orgOf(team: string): string[] {
  return [`org:${/^team:([^/]+)/.exec(team)?.[1] ?? ''}`];
}

/** The row that control compiles from the manifest that says what the naive pool says. */
function compiled(naive: NaivePool): [string, PoolRow] {
  const { name, require, tokens, whitelist, binding } = naive;
  const access = {
    require,
    tokens,
    ...(whitelist === undefined ? {} : { whitelist }),
    ...(binding.length === 0 ? {} : { binding }),
  };
  const parsed = parseManifest(
    JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name }, spec: { access } }),
  );
  if (!parsed.ok || parsed.kind !== 'Subcloud') throw new Error(JSON.stringify(parsed));
  return poolRow(name, {
    owner: naive.owner as PrincipalId | null,
    access: poolAccess(parsed.manifest.spec.access),
    ...bansOf(naive),
  });
}

/** As control's pool rows say it: by the bans in force, in the world that holds them. */
function bansOf({ name, banned }: NaivePool): { readonly banned?: readonly PrincipalId[] } {
  const ban = { kind: 'account', reason: null, by: 'user:owner', atMs: 0 } as const;
  const bans = new Map(
    banned.map((subject, at) => [`ban_${at}`, { ...ban, id: `ban_${at}`, subcloudId: name, subject }]),
  );
  const found = bannedCallers({ bans }).get(name);
  return found === undefined ? {} : { banned: found };
}

function tableOf({
  pools,
  accepted,
  memberships,
}: {
  pools: readonly NaivePool[];
  accepted: ReadonlyMap<string, string>;
  memberships: ReadonlyMap<string, readonly string[]>;
}): RoutingTable {
  const builder = new TableBuilder(EMPTY_TABLE, 'snapshot');
  for (const each of pools) builder.set(...(each.name === 'global' ? poolRow('global') : compiled(each)));
  for (const id of [...USERS, ...TEAMS, ...ORGS] as PrincipalId[]) {
    const groups = memberships.get(id) ?? [];
    const binding = accepted.get(id);
    if (groups.length > 0 || binding !== undefined)
      builder.set(rowKey.principal(id), { id, groups, ...(binding === undefined ? {} : { binding }) });
  }
  return builder.commit(1, 1).table;
}

function rowOf({ id, principal, opens }: NaiveCredential, accepted: ReadonlyMap<string, string>): CredentialRow {
  const binding = accepted.get(`token:${id}`);
  return {
    id,
    kind: opens === undefined ? 'account' : 'subcloud',
    principal: principal as PrincipalId,
    pool: opens ?? null,
    expiresAt: null,
    ...(binding === undefined ? {} : { binding }),
  };
}

test('whitelist, tokens, binding and bans: the gateway serves what a naive model serves, and refuses the rest with the same code', async () => {
  const seen = new Map<string, number>();
  const round = (): void =>
    fc.assert(
      fc.property(
        network,
        fc.array(
          fc.record({
            credential,
            name: fc.option(fc.constantFrom(...NAMES, 'global', 'absent'), { nil: undefined }),
            address: fc.constantFrom(...ADDRESSES),
          }),
          {
            minLength: 8,
            maxLength: 8,
          },
        ),
        (drawn, requests) => {
          const table = tableOf(drawn);
          for (const request of requests) {
            const wanted = naiveAccess(drawn, request);
            const choice = { name: request.name, by: request.name === undefined ? undefined : ('path' as const) };
            let got: string;
            try {
              got = authorise(table, rowOf(request.credential, drawn.accepted), choice, request.address).pool.name;
            } catch (error) {
              got = AppError.from(error).code;
            }
            expect(got).toBe(wanted);
            seen.set(wanted, (seen.get(wanted) ?? 0) + 1);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  // A model that never came to one of its answers has shown nothing about it.
  const answers = [
    ...NAMES,
    'global',
    'client.not_found',
    'policy.access_denied',
    'policy.bound_elsewhere',
    'policy.binding_conflict',
  ];
  const missing = (): readonly string[] => answers.filter((answer) => (seen.get(answer) ?? 0) <= 10);
  expect(await untilSeen(round, missing)).toEqual([]);
});
