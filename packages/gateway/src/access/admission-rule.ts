/**
 * Whether a pool admits a caller: not banned, and tokens, whitelist and binding, those of them that the pool has. Compiled once a row,
 * since rows never change; what a request costs is a few look-ups.
 */
import type { CredentialRow, PoolRow } from '@subcloud/contract/table';
import type { PrincipalId } from '@subcloud/contract/vocabulary';
import { type AddressList, addressList } from './address-list.ts';

/** What is known of a caller when it asks for a pool. */
export interface CallerFacts {
  readonly credential: CredentialRow;
  /** Teams and organisations that its account belongs to. */
  readonly groups: readonly PrincipalId[];
  /** The caller is bound to this pool. */
  readonly bound: boolean;
  /** Undefined: not known, and then inside no range. */
  readonly address: string | undefined;
}

type Rule = (caller: CallerFacts) => boolean;

interface CompiledAccess {
  readonly rules: readonly Rule[];
  readonly all: boolean;
  /** Who is named: these may know of the pool, also where an address keeps them out. */
  readonly named: ReadonlySet<PrincipalId>;
  readonly banned: ReadonlySet<PrincipalId> | undefined;
}

const compiled = new WeakMap<PoolRow, CompiledAccess>();

/** Whether the pool bans the caller, or a team or organisation that it belongs to. */
export function isBanned(pool: PoolRow, { credential, groups }: Pick<CallerFacts, 'credential' | 'groups'>): boolean {
  const { banned } = compile(pool);
  if (banned === undefined) return false;
  return banned.has(credential.principal) || groups.some((id) => banned.has(id));
}

/** A ban wins over all that admits. A token of another pool is admitted nowhere but there, whoever it acts for. */
export function admits(pool: PoolRow, caller: CallerFacts): boolean {
  if (isBanned(pool, caller)) return false;
  const { credential } = caller;
  if (credential.kind === 'subcloud' && credential.pool !== pool.name) return false;
  const { rules, all } = compile(pool);
  if (rules.length === 0) return true;
  return all ? rules.every((rule) => rule(caller)) : rules.some((rule) => rule(caller));
}

/** Whether a caller that is refused may be told that the pool exists. */
export function mayKnowOf(pool: PoolRow, { credential, groups, bound }: CallerFacts): boolean {
  if (bound || credential.pool === pool.name) return true;
  const { named } = compile(pool);
  const knows = (id: PrincipalId): boolean => id === pool.owner || named.has(id);
  return knows(credential.principal) || groups.some(knows);
}

function compile(pool: PoolRow): CompiledAccess {
  const known = compiled.get(pool);
  if (known !== undefined) return known;
  const { require, tokens, whitelist, binding } = pool.access;
  const rules: Rule[] = [];
  if (tokens) rules.push(({ credential }) => credential.kind === 'subcloud' && credential.pool === pool.name);
  if (binding === true) rules.push(({ bound }) => bound);
  const named = new Set<PrincipalId>(whitelist?.principals);
  if (whitelist !== undefined) rules.push(whitelistRule(named, whitelist.cidrs));
  const banned = pool.banned === undefined ? undefined : new Set(pool.banned);
  const access = { rules, all: require === 'all', named, banned };
  compiled.set(pool, access);
  return access;
}

function whitelistRule(named: ReadonlySet<PrincipalId>, cidrs: readonly string[]): Rule {
  const ranges: AddressList | undefined = cidrs.length === 0 ? undefined : addressList(cidrs);
  // All lists are empty: it admits nobody.
  if (named.size === 0 && ranges === undefined) return () => false;
  return ({ credential, groups, address }) => {
    if (ranges !== undefined && !ranges.has(address)) return false;
    return named.size === 0 || named.has(credential.principal) || groups.some((id) => named.has(id));
  };
}
