/**
 * The operator's word. A node joins nothing that its operator does not permit, and consent to join a Subcloud is not
 * consent to leave other pools. Whatever this file does not recognise, it refuses.
 */
import * as z from 'zod';
import { type PrincipalId, isPrincipalId } from './principal.ts';

export const ISOLATIONS = ['shared', 'isolate', 'exclusive'] as const;
export type Isolation = (typeof ISOLATIONS)[number];

export const subcloudName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label: a-z, 0-9 and -, at most 63 characters');
export const principalId = z
  .string()
  .max(160)
  .refine(isPrincipalId, 'must be user:ID, team:ORG/ID or org:ID')
  .transform((value) => value as PrincipalId);

/** What `agent.yaml` says under `consent`, with its defaults: the global network, and nothing else. */
export const consentSchema = z.strictObject({
  /** Whether the node serves the global network. */
  global: z.boolean().default(true),
  /** Which Subclouds may take the node by themselves: all, those of listed owners, or none. */
  autoJoin: z
    .union([z.literal('all'), z.literal('none'), z.strictObject({ owners: z.array(principalId).max(256) })])
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
});
export type Consent = z.infer<typeof consentSchema>;

export const NO_CONSENT: Consent = { global: false, autoJoin: 'none', isolation: 'shared', join: [] };

export interface ConsentQuestion {
  readonly name: string;
  readonly owner: PrincipalId;
  readonly isolation: Isolation;
}

/**
 * Whether the operator's yes names this Subcloud and covers the isolation that it has now: an owner who isolates more
 * in a later revision does not take along a yes that was given for less.
 */
export function consentsByName(consent: Consent, subcloud: ConsentQuestion): boolean {
  return consent.join.some((entry) =>
    typeof entry === 'string'
      ? entry === subcloud.name && covers(consent.isolation, subcloud.isolation)
      : entry.name === subcloud.name && covers(entry.isolation, subcloud.isolation),
  );
}

function covers(allowed: Isolation, wanted: Isolation): boolean {
  return ISOLATIONS.indexOf(wanted) <= ISOLATIONS.indexOf(allowed);
}

/** Whether this Subcloud may take the node without asking. */
export function consentsToAutoJoin(consent: Consent, subcloud: ConsentQuestion): boolean {
  if (!covers(consent.isolation, subcloud.isolation)) return false;
  if (consent.autoJoin === 'all') return true;
  if (consent.autoJoin === 'none') return false;
  return consent.autoJoin.owners.includes(subcloud.owner);
}
