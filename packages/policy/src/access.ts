/**
 * Who may call a pool, and how much: the `access` clause of both manifests. Nothing here decides; the gateway does, on
 * the table that control compiles from it.
 */
import * as z from 'zod';
import { cidrText } from './cidr.ts';
import { principalId } from './consent.ts';
import type { PrincipalId } from './principal.ts';

/** Most requests or tokens that a limit may name: counted in thousandths of a minute they stay whole numbers. */
const MAX_PER_MINUTE = 1_000_000_000;
const MAX_PER_DAY = 1_000_000_000_000;
const MAX_CONCURRENT = 1_000_000;

const limits = {
  /** A token bucket that holds one minute's worth. */
  requestsPerMinute: z.int().positive().max(MAX_PER_MINUTE).optional(),
  /** Prompt and completion; reserved when the request is admitted, settled when it ends. */
  tokensPerMinute: z.int().positive().max(MAX_PER_MINUTE).optional(),
  /** Requests between their admission and the end of their answer. */
  concurrent: z.int().positive().max(MAX_CONCURRENT).optional(),
  /** Of a day in UTC. */
  tokensPerDay: z.int().positive().max(MAX_PER_DAY).optional(),
};
export const LIMIT_NAMES = ['requestsPerMinute', 'tokensPerMinute', 'concurrent', 'tokensPerDay'] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

const someLimit = (value: object): boolean => LIMIT_NAMES.some((name) => name in value);
const NEEDS_LIMIT = `needs at least one of ${LIMIT_NAMES.join(', ')}`;

/** What one token, one caller or a whole pool may use. */
export const limitSet = z.strictObject(limits).refine(someLimit, NEEDS_LIMIT);
export type LimitSet = z.infer<typeof limitSet>;

/** Each caller's; `total` for all of the pool's callers together. */
export const accessLimits = z
  .strictObject({
    ...limits,
    total: limitSet.optional(),
    /** Counts what would be refused, and refuses nothing. */
    dryRun: z.boolean().optional(),
  })
  .refine((value) => value.total !== undefined || someLimit(value), `${NEEDS_LIMIT}, or \`total\``);
export type AccessLimits = z.infer<typeof accessLimits>;

function principals(kind: string, max: number, fits: (id: PrincipalId) => boolean) {
  return z
    .array(principalId.refine(fits, `must be ${kind}`))
    .max(max)
    .default([]);
}
const isTeam = (id: PrincipalId): boolean => id.startsWith('team:');
const isOrg = (id: PrincipalId): boolean => id.startsWith('org:');

/** An empty list is the same as none; where all are empty, nobody is admitted. */
export const whitelistClause = z.strictObject({
  accounts: principals('an account', 1_024, (id) => !isTeam(id) && !isOrg(id)),
  teams: principals('team:ORG/ID', 256, isTeam),
  orgs: principals('org:ID', 256, isOrg),
  cidrs: z.array(cidrText).max(256).default([]),
});
export type WhitelistClause = z.infer<typeof whitelistClause>;

/** One credential, by its id: what may be bound besides principals. */
const CREDENTIAL = /^token:[a-z]{2,8}_[0-9a-z]{1,64}$/;
export type BoundId = PrincipalId | `token:${string}`;
export const boundId = z
  .string()
  .max(160)
  .refine((id) => CREDENTIAL.test(id) || principalId.safeParse(id).success, {
    error: 'must be user:ID, team:ORG/ID, org:ID or token:ID',
  }) as unknown as z.ZodType<BoundId, string>;

export const accessClause = z.strictObject({
  /** Whether any of tokens, whitelist and binding suffices, or all that are present must hold. */
  require: z.enum(['any', 'all']).default('any'),
  tokens: z.boolean().default(false),
  whitelist: whitelistClause.optional(),
  /** Whose whole traffic goes here once they accept. */
  binding: z
    .array(boundId)
    .min(1)
    .max(256)
    .refine((ids) => new Set(ids).size === ids.length, 'must name each once')
    .optional(),
  limits: accessLimits.optional(),
});
export type AccessClause = z.infer<typeof accessClause>;

export const OPEN_ACCESS: AccessClause = { require: 'any', tokens: false };

/** Paths on the public port that a token may be narrowed to. */
export const TOKEN_SCOPES = ['chat', 'completions', 'embeddings', 'models', 'apis'] as const;
export type TokenScope = (typeof TOKEN_SCOPES)[number];
