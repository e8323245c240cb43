/**
 * The state table of the protocol, for one node, read from its text: which Subclouds the node stands where in, after what
 * it stood in before. Shares nothing with the reconciler.
 */
import { milliseconds } from './oracle-facts.ts';
import {
  type OracleNode,
  type OracleSubcloud,
  eligibility,
  operatorNames,
  operatorSaysYes,
  ownerSaysYes,
} from './oracle.ts';

const MINUTE_MS = 60 * 1000;
const WEEK_MS = 7 * 24 * 60 * MINUTE_MS;
const DRAIN_MS = 10 * MINUTE_MS;

export type Standing = 'requested' | 'invited' | 'active' | 'suspended' | 'draining' | 'left' | 'removed';

export interface OracleMembership {
  readonly standing: Standing;
  /** The owner invited or assigned the node. */
  readonly assigned: boolean;
  readonly sinceMs: number;
  /** Why it ended: the node was away (it takes a link to come back), or its operator took the yes back. */
  readonly endedBy: 'absence' | 'operator' | null;
  /** In this membership it has been active since. */
  readonly activeSinceMs: number | null;
  /** The cooldown runs since: everything passes again (while suspended), or the node departed. */
  readonly waitsSinceMs: number | null;
  readonly drainsTo: 'left' | 'removed' | null;
  /** Suspended only until the node has left all others. */
  readonly waitsForOthers: boolean;
}

export interface Leaver extends OracleNode {
  /** Names of pools in which it has nothing in flight, of those that it is leaving. */
  readonly drained: ReadonlySet<string>;
}

export const GLOBAL = 'global';

/** What the node stands in now; `global` is one of the keys while the node is in it, or was and nothing holds it. */
export function standings(
  node: Leaver,
  subclouds: readonly OracleSubcloud[],
  before: ReadonlyMap<string, OracleMembership>,
  nowMs: number,
): Map<string, OracleMembership> {
  return standingsWith(node, subclouds, before, nowMs, whoIsAlone(node, subclouds, before, nowMs));
}

const isExclusive = ({ spec }: OracleSubcloud): boolean => spec.isolation === 'exclusive';

/**
 * The exclusive Subcloud that has the node for itself, or gets it: who has it already, by the time since when, then by id;
 * else who is named by the operator, or, where the node is in no other Subcloud, who assigned a node of its own.
 */
function whoIsAlone(
  node: Leaver,
  subclouds: readonly OracleSubcloud[],
  before: ReadonlyMap<string, OracleMembership>,
  nowMs: number,
): OracleSubcloud | undefined {
  const had = ({ id }: OracleSubcloud): number => {
    const stood = before.get(id);
    return stood !== undefined && isHeld(stood) ? (stood.activeSinceMs ?? nowMs) : Infinity;
  };
  const free = !subclouds.some((subcloud) => !isExclusive(subcloud) && had(subcloud) !== Infinity);
  const able = subclouds
    .filter(isExclusive)
    .toSorted((a, b) => (had(a) === had(b) ? (a.id < b.id ? -1 : 1) : had(a) < had(b) ? -1 : 1))
    .filter((subcloud) => {
      const would = stepIn(node, subcloud, before.get(subcloud.id), nowMs, [], 'nothing');
      if (would === undefined || !isHeld(would)) return false;
      return had(subcloud) !== Infinity || free || answersOf(node, subcloud, undefined, nowMs, []).asks;
    });
  return able.find((subcloud) => answersOf(node, subcloud, before.get(subcloud.id), nowMs, []).operator) ?? able[0];
}

function standingsWith(
  node: Leaver,
  subclouds: readonly OracleSubcloud[],
  before: ReadonlyMap<string, OracleMembership>,
  nowMs: number,
  alone: OracleSubcloud | undefined,
): Map<string, OracleMembership> {
  const after = new Map<string, OracleMembership>();
  for (const [id, membership] of before) {
    if (id === GLOBAL || subclouds.some((subcloud) => subcloud.id === id)) continue;
    const over = membership.standing === 'left' || membership.standing === 'removed';
    after.set(id, over ? membership : end(membership, 'removed', nowMs, null));
  }
  const put = (id: string, stands: OracleMembership | undefined): void => {
    if (stands !== undefined) after.set(id, stands);
  };
  const holdsNow = ({ id }: OracleSubcloud): boolean => {
    const stands = after.get(id);
    return stands !== undefined && isHeld(stands);
  };
  /** One that has lost the operator's yes lets nobody in before it has left, and ends nothing; nor does one without a name, but of `global`. */
  const words = alone === undefined ? undefined : answersOf(node, alone, before.get(alone.id), nowMs, []);
  const takes = words?.operator === true;
  const hindranceOf = (id: string): Hindrance => {
    if (words === undefined) return 'nothing';
    const standing = before.get(id)?.standing;
    return takes && (words.asks || id === GLOBAL)
      ? 'taken'
      : standing === 'active' || standing === 'suspended'
        ? 'nothing'
        : 'others';
  };
  const shared = subclouds.filter((subcloud) => !isExclusive(subcloud));
  const kept: string[] = [];
  for (const subcloud of inOrderOfClaim(shared, before)) {
    put(subcloud.id, stepIn(node, subcloud, before.get(subcloud.id), nowMs, kept, hindranceOf(subcloud.id)));
    if (subcloud.spec.models.private === true && holdsNow(subcloud))
      kept.push(...(subcloud.spec.models.allow ?? []).map(({ id }) => id));
  }
  for (const subcloud of subclouds.filter(isExclusive).toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    if (subcloud === alone) continue;
    const hinders = alone === undefined && shared.some(holdsNow) ? 'others' : hindranceOf(subcloud.id);
    const stands = stepIn(node, subcloud, before.get(subcloud.id), nowMs, [], hinders);
    if (alone === undefined && stands !== undefined && isHeld(stands))
      return standingsWith(node, subclouds, before, nowMs, subcloud);
    put(subcloud.id, stands);
  }
  const everywhere: OracleSubcloud = {
    id: GLOBAL,
    name: GLOBAL,
    owner: '',
    spec: {
      models: {},
      nodes: {},
      participation: { mode: 'open', autoJoin: true, cooldown: '0s' },
      isolation: 'shared',
    },
  };
  if (alone === undefined) {
    if (isolatingHolders(shared, after).length === 0)
      put(GLOBAL, stepIn(node, everywhere, before.get(GLOBAL), nowMs, kept, 'nothing'));
    return after;
  }
  const leaving =
    before.get(GLOBAL) === undefined
      ? undefined
      : stepIn(node, everywhere, before.get(GLOBAL), nowMs, kept, hindranceOf(GLOBAL));
  if (leaving?.standing === 'draining' || (!takes && leaving !== undefined)) after.set(GLOBAL, leaving);
  const isElsewhere = after.has(GLOBAL) || subclouds.some((other) => other !== alone && holdsNow(other));
  put(alone.id, stepIn(node, alone, before.get(alone.id), nowMs, [], isElsewhere ? 'others' : 'nothing'));
  return after;
}

/** `taken`: it is another's alone, and what there is of this ends. `others`: it waits for others to end. */
type Hindrance = 'nothing' | 'taken' | 'others';

function stepIn(
  node: Leaver,
  subcloud: OracleSubcloud,
  stood: OracleMembership | undefined,
  nowMs: number,
  kept: readonly string[],
  hindrance: Hindrance,
): OracleMembership | undefined {
  return step(node, stood, nowMs, { ...answersOf(node, subcloud, stood, nowMs, kept), hindrance });
}

function answersOf(
  node: Leaver,
  subcloud: OracleSubcloud,
  stood: OracleMembership | undefined,
  nowMs: number,
  kept: readonly string[],
): Omit<Answers, 'hindrance'> {
  const { models } = eligibility(subcloud.spec, node.facts, nowMs, subcloud.id === GLOBAL ? null : subcloud.owner);
  const eligible = offered(node, subcloud.name, models, kept);
  const cooldownMs = milliseconds(subcloud.spec.participation.cooldown);
  const { name } = subcloud;
  const global = { operator: node.consent.global, asks: false, refused: false, tooMuch: false, owner: true };
  if (subcloud.id === GLOBAL) return { ...global, assigned: false, open: true, eligible, cooldownMs, name };
  const assigned = stood !== undefined && stood.assigned && !isOver(stood, nowMs);
  const refused = node.consent.leave?.includes(name) === true;
  return {
    operator: saysYes(node, subcloud, assigned),
    asks: !refused && operatorNames(node, asAsked(subcloud)),
    refused,
    tooMuch: saysYes(node, asShared(subcloud), false),
    owner: ownerSaysYes(subcloud, assigned),
    assigned,
    open: subcloud.spec.participation.mode === 'open',
    eligible,
    cooldownMs,
    name,
  };
}

/** Two that want one model for themselves: the earlier active wins, then the id. Who keeps nothing takes what is left. */
function inOrderOfClaim(
  subclouds: readonly OracleSubcloud[],
  before: ReadonlyMap<string, OracleMembership>,
): readonly OracleSubcloud[] {
  const since = ({ id }: OracleSubcloud): number => {
    const stood = before.get(id);
    return stood !== undefined && isHeld(stood) ? (stood.activeSinceMs ?? Infinity) : Infinity;
  };
  const keepers = subclouds.filter(({ spec }) => spec.models.private === true);
  const sorted = keepers.toSorted((a, b) => since(a) - since(b) || (a.id < b.id ? -1 : 1));
  return [...sorted, ...subclouds.filter((subcloud) => !keepers.includes(subcloud))];
}

/** Whether anything is left to offer in the pool. */
function offered(node: OracleNode, pool: string, models: readonly string[], kept: readonly string[]): boolean {
  const listed = node.consent.pools?.[pool]?.models;
  return models.some((model) => !kept.includes(model) && (listed === undefined || listed.includes(model)));
}

/** The operator's yes; a no by name wins, and whoever keeps models to itself is asked as one that is exclusive, by name. */
export function saysYes(node: OracleNode, subcloud: OracleSubcloud, assigned: boolean): boolean {
  if (node.consent.leave?.includes(subcloud.name) === true) return false;
  if (subcloud.spec.models.private !== true) return operatorSaysYes(node, subcloud, assigned);
  return operatorNames(node, asAsked(subcloud)) || (assigned && node.facts.operator === subcloud.owner);
}

function asAsked(subcloud: OracleSubcloud): OracleSubcloud {
  if (subcloud.spec.models.private !== true) return subcloud;
  return { ...subcloud, spec: { ...subcloud.spec, isolation: 'exclusive' } };
}

function asShared(subcloud: OracleSubcloud): OracleSubcloud {
  return { ...subcloud, spec: { ...subcloud.spec, models: {}, isolation: 'shared' } };
}

/** From the first active until the membership ends. */
export function isHeld({ standing, activeSinceMs }: OracleMembership): boolean {
  return activeSinceMs !== null && (standing === 'active' || standing === 'suspended' || standing === 'draining');
}

/** Subclouds that keep the node out of the global network: held from the first active until the membership ends. */
export function isolatingHolders(
  subclouds: readonly OracleSubcloud[],
  stands: ReadonlyMap<string, OracleMembership>,
): readonly OracleSubcloud[] {
  return subclouds.filter((subcloud) => {
    const stood = stands.get(subcloud.id);
    return subcloud.spec.isolation !== 'shared' && stood !== undefined && isHeld(stood);
  });
}

interface Answers {
  readonly operator: boolean;
  /** By name. */
  readonly asks: boolean;
  readonly refused: boolean;
  /** It would be a yes if the Subcloud took less. */
  readonly tooMuch: boolean;
  readonly owner: boolean;
  readonly assigned: boolean;
  readonly open: boolean;
  readonly eligible: boolean;
  readonly cooldownMs: number;
  readonly name: string;
  readonly hindrance: Hindrance;
}

function step(
  node: Leaver,
  stood: OracleMembership | undefined,
  nowMs: number,
  answers: Answers,
): OracleMembership | undefined {
  const { operator, asks, refused, tooMuch, owner, assigned, open, cooldownMs, name, hindrance } = answers;
  const eligible = answers.eligible && hindrance === 'nothing';
  const away = isAway(node, nowMs);
  const { lastSeenAt } = node.facts;
  const waitsForOthers = hindrance === 'others' && owner && operator && answers.eligible && !away;
  const idle = lastSeenAt !== null || node.drained.has(name);
  const fits = operator && owner && eligible && !away;
  const waits = stood !== undefined && stood.waitsSinceMs !== null && nowMs - stood.waitsSinceMs < cooldownMs;
  const joins = fits && !waits;
  const wants = open && asks && operator && !away;
  const active = (): OracleMembership => ({
    ...FRESH,
    standing: 'active',
    assigned,
    sinceMs: nowMs,
    activeSinceMs: nowMs,
  });
  const requested = (): OracleMembership => ({
    ...FRESH,
    standing: 'requested',
    sinceMs: nowMs,
    waitsSinceMs: stood?.waitsSinceMs ?? null,
  });
  switch (stood?.standing) {
    case undefined:
      if (joins) return active();
      return wants && !eligible ? requested() : undefined;
    case 'removed':
      return stood;
    case 'left':
      if (!open || (stood.endedBy === 'absence' && lastSeenAt !== null)) return stood;
      if (joins) return active();
      return wants && stood.endedBy === 'operator' ? requested() : stood;
    case 'requested':
      if (joins) return active();
      if (refused || (!asks && !stood.assigned)) return end(stood, 'left', nowMs, 'operator');
      return !owner || isOver(stood, nowMs) ? end(stood, 'left', nowMs, null) : stood;
    case 'invited':
      if (joins) return active();
      if (isOver(stood, nowMs)) return end(stood, 'left', nowMs, null);
      return refused ? end(stood, 'left', nowMs, 'operator') : stood;
    case 'active':
      if (!operator && (idle || (tooMuch && !refused))) return end(stood, 'left', nowMs, 'operator');
      if (!operator)
        return {
          ...stood,
          standing: 'draining',
          sinceMs: nowMs,
          assigned: false,
          drainsTo: 'left',
          endedBy: 'operator',
        };
      if (hindrance === 'taken')
        return idle
          ? step(node, end(stood, 'left', nowMs, 'operator'), nowMs, answers)
          : {
              ...stood,
              standing: 'draining',
              sinceMs: nowMs,
              assigned: false,
              drainsTo: 'left',
              endedBy: 'operator',
            };
      if (away) return end(stood, 'left', nowMs, 'absence');
      return owner && eligible
        ? stood
        : { ...stood, standing: 'suspended', sinceMs: nowMs, waitsSinceMs: null, waitsForOthers };
    case 'suspended': {
      if (!operator) return end(stood, 'left', nowMs, 'operator');
      if (hindrance === 'taken') return step(node, end(stood, 'left', nowMs, 'operator'), nowMs, answers);
      if (away) return end(stood, 'left', nowMs, 'absence');
      if (owner && eligible && stood.waitsForOthers)
        return { ...stood, standing: 'active', sinceMs: nowMs, waitsSinceMs: null, waitsForOthers: false };
      const waitsSinceMs = owner && eligible ? (stood.waitsSinceMs ?? nowMs) : null;
      if (waitsSinceMs !== null && nowMs - waitsSinceMs >= cooldownMs)
        return { ...stood, standing: 'active', sinceMs: nowMs, waitsSinceMs: null };
      return nowMs - stood.sinceMs >= WEEK_MS
        ? end(stood, 'left', nowMs, null)
        : { ...stood, waitsSinceMs, waitsForOthers };
    }
    case 'draining': {
      if (!idle && nowMs - stood.sinceMs < DRAIN_MS) return stood;
      const ended = end(stood, stood.drainsTo ?? 'left', nowMs, stood.endedBy);
      return step(node, ended, nowMs, answers);
    }
  }
}

export const FRESH = {
  assigned: false,
  endedBy: null,
  activeSinceMs: null,
  waitsSinceMs: null,
  drainsTo: null,
  waitsForOthers: false,
} as const;

function isAway({ facts: { lastSeenAt } }: Leaver, nowMs: number): boolean {
  return lastSeenAt !== null && nowMs - lastSeenAt >= WEEK_MS;
}

/** An invitation or a request that nobody answered for a week. */
function isOver({ standing, sinceMs }: OracleMembership, nowMs: number): boolean {
  return (standing === 'invited' || standing === 'requested') && nowMs - sinceMs >= WEEK_MS;
}

function end(
  stood: OracleMembership,
  standing: 'left' | 'removed',
  sinceMs: number,
  endedBy: OracleMembership['endedBy'],
): OracleMembership {
  const departs = stood.activeSinceMs !== null;
  return {
    ...stood,
    standing,
    assigned: false,
    sinceMs,
    endedBy,
    drainsTo: null,
    waitsForOthers: false,
    waitsSinceMs: departs ? sinceMs : stood.waitsSinceMs,
  };
}
