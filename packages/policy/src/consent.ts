/**
 * The operator's word. A node joins nothing that its operator does not permit, and consent to join a Subcloud is not
 * consent to leave other pools. Whatever this file does not recognise, it refuses.
 */
import * as z from 'zod';
import { type CelExpression, compileCel } from './cel/cel-expression.ts';
import type { CelTable } from './cel/cel-table.ts';
import { compileGlob } from './glob.ts';
import { type PrincipalId, PRINCIPAL_PATTERN } from './principal.ts';
import { percentOf, percentText } from './units.ts';

export const ISOLATIONS = ['shared', 'isolate', 'exclusive'] as const;
export type Isolation = (typeof ISOLATIONS)[number];

export const subcloudName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label: a-z, 0-9 and -, at most 63 characters');
/** A plain string schema under its type, so that JSON Schema and OpenAPI can say it. */
export const principalId = z
  .string()
  .max(160)
  .regex(PRINCIPAL_PATTERN, 'must be user:ID, team:ORG/ID or org:ID') as unknown as z.ZodType<PrincipalId, string>;

/** What an operator's expression may ask of a Subcloud. */
export const CONSENT_VARIABLES = {
  'subcloud.name': { type: 'string', about: 'its name' },
  'subcloud.owner': { type: 'string', about: 'user:ID, team:ORG/ID or org:ID' },
  'subcloud.isolation': { type: 'string', about: 'shared, isolate or exclusive' },
  'subcloud.labels': { type: 'map<string, string>', about: 'labels of its manifest' },
  'subcloud.models': { type: 'list<string>', about: 'ids and globs of its allow-list; ["**"] where it has none' },
} as const satisfies CelTable;

const whereText = z
  .string()
  .min(1)
  .max(4_096)
  .superRefine((text, context) => {
    const compiled = compileCel(text, CONSENT_VARIABLES);
    if (!compiled.ok) context.addIssue({ code: 'custom', message: compiled.message });
  });
const modelGlob = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\s[\]{}]+$/, 'must be a model id, or a glob of * and ?');

/** A share is told apart to a ten-thousandth of a percent. */
const PARTS = 1_000_000;

/** What a node offers in one pool, where that is less than all it has. */
const poolTerms = z.strictObject({
  /** Globs of the network ids that it offers there. */
  models: z.array(modelGlob).min(1).max(256).optional(),
  /** The most of its concurrency that the pool may use; absent: all of it. */
  share: percentText.refine((text) => percentOf(text, PARTS) > 0, 'must be more than 0%').optional(),
});

/** What `agent.yaml` says under `consent`, with its defaults: the global network, and nothing else. */
export const consentSchema = z.strictObject({
  /** Whether the node serves the global network. */
  global: z.boolean().default(true),
  /** Which Subclouds may take the node by themselves: all, those of listed owners, those that a rule admits, or none. */
  autoJoin: z
    .union([
      z.literal('all'),
      z.literal('none'),
      z.strictObject({ owners: z.array(principalId).max(256) }),
      z.strictObject({ where: whereText }),
    ])
    .default('none'),
  /** The most isolation that an auto-join may bring. */
  isolation: z.enum(ISOLATIONS).default('shared'),
  /**
   * Subclouds that the operator says yes to by name: asks where a Subcloud is open, accepts where it invites. A bare
   * name is a yes to no more isolation than `isolation` allows; the long form says how much more this one may take.
   */
  join: z
    .array(z.union([subcloudName, z.strictObject({ name: subcloudName, isolation: z.enum(ISOLATIONS) })]))
    .max(256)
    .default([]),
  /** Subclouds that may not have the node, whatever else stands here; invitations included. */
  leave: z.array(subcloudName).max(1024).optional(),
  /** Absent: true. Whether a yes that the operator gives with its account at the network counts as one given here. */
  byAccount: z.boolean().optional(),
  /** By pool (`global` or a Subcloud's name). */
  pools: z
    .record(subcloudName, poolTerms)
    .refine((pools) => Object.keys(pools).length <= 256, 'at most 256 pools')
    .optional(),
});
export type Consent = z.infer<typeof consentSchema>;

export const NO_CONSENT: Consent = { global: false, autoJoin: 'none', isolation: 'shared', join: [] };

export interface ConsentQuestion {
  readonly name: string;
  readonly owner: PrincipalId;
  readonly isolation: Isolation;
  /** Its models may be offered nowhere else: that takes as much of a node as `exclusive` does. */
  readonly private?: boolean | undefined;
  /** Absent: not known here, and a rule that asks for them does not hold. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly models?: readonly string[] | undefined;
}

/** Whether the operator has said that this Subcloud may not have the node: it wins over every yes. */
export function refuses(consent: Consent, name: string): boolean {
  return consent.leave?.includes(name) === true;
}

/**
 * Whether the operator's yes names this Subcloud and covers the isolation that it has now: an owner who isolates more
 * in a later revision does not take along a yes that was given for less.
 */
export function consentsByName(consent: Consent, subcloud: ConsentQuestion): boolean {
  if (refuses(consent, subcloud.name)) return false;
  const taken = takes(subcloud);
  return consent.join.some((entry) =>
    typeof entry === 'string'
      ? entry === subcloud.name && covers(consent.isolation, taken)
      : entry.name === subcloud.name && covers(entry.isolation, taken),
  );
}

/**
 * Whether a yes that the operator gave with its account covers this Subcloud as it is now. `accepted`: the isolation
 * that it was given for; undefined: there is none.
 */
export function consentsByAccount(
  consent: Consent,
  accepted: Isolation | undefined,
  subcloud: ConsentQuestion,
): boolean {
  if (accepted === undefined || consent.byAccount === false || refuses(consent, subcloud.name)) return false;
  return covers(accepted, takes(subcloud));
}

/** Whether this Subcloud may take the node without asking. One that wants the node, or its models, for itself always asks. */
export function consentsToAutoJoin(consent: Consent, subcloud: ConsentQuestion): boolean {
  if (refuses(consent, subcloud.name) || takes(subcloud) === 'exclusive') return false;
  if (!covers(consent.isolation, subcloud.isolation)) return false;
  const { autoJoin } = consent;
  if (autoJoin === 'all') return true;
  if (autoJoin === 'none') return false;
  if ('owners' in autoJoin) return autoJoin.owners.includes(subcloud.owner);
  return admitsByRule(autoJoin, subcloud);
}

/** Which models the operator offers in the pool; null: all that the node has. */
export function offersModel(consent: Consent, pool: string): ((id: string) => boolean) | null {
  const globs =
    consent.pools !== undefined && Object.hasOwn(consent.pools, pool) ? consent.pools[pool]?.models : undefined;
  if (globs === undefined) return null;
  const known = offers.get(globs);
  if (known !== undefined) return known;
  const compiled = globs.map(compileGlob);
  const offersIt = (id: string): boolean => compiled.some((matches) => matches(id));
  offers.set(globs, offersIt);
  return offersIt;
}
const offers = new WeakMap<readonly string[], (id: string) => boolean>();

/** The most of the node's concurrency that the pool may use, above 0 and at most 1; undefined: all of it. */
export function shareOf(consent: Consent, pool: string): number | undefined {
  const { pools } = consent;
  const share = pools !== undefined && Object.hasOwn(pools, pool) ? pools[pool]?.share : undefined;
  return share === undefined ? undefined : percentOf(share, PARTS) / PARTS;
}

function takes({ isolation, private: isPrivate }: ConsentQuestion): Isolation {
  return isPrivate === true ? 'exclusive' : isolation;
}

function covers(allowed: Isolation, wanted: Isolation): boolean {
  return ISOLATIONS.indexOf(wanted) <= ISOLATIONS.indexOf(allowed);
}

type Rule = Extract<Consent['autoJoin'], { readonly where: string }>;
const rules = new WeakMap<Rule, CelExpression | null>();

/** What cannot be compiled or is unknown is no consent. */
function admitsByRule(rule: Rule, subcloud: ConsentQuestion): boolean {
  let expression = rules.get(rule);
  if (expression === undefined) {
    const compiled = compileCel(rule.where, CONSENT_VARIABLES);
    expression = compiled.ok ? compiled.expression : null;
    rules.set(rule, expression);
  }
  if (expression === null) return false;
  const values: Readonly<
    Record<keyof typeof CONSENT_VARIABLES, string | readonly string[] | Readonly<Record<string, string>> | undefined>
  > = {
    'subcloud.name': subcloud.name,
    'subcloud.owner': subcloud.owner,
    'subcloud.isolation': subcloud.isolation,
    'subcloud.labels': subcloud.labels,
    'subcloud.models': subcloud.models,
  };
  return expression.evaluate((path) => values[path as keyof typeof CONSENT_VARIABLES]) === true;
}
