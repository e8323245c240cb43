/** How much one account or organisation may have of what loads everybody. */
import * as z from 'zod';
import { principalId } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';

/** What is counted, with the most that anybody has unless the network's admin says otherwise. */
export const QUOTA_DEFAULTS = {
  /** Subclouds that are not deleted. */
  subclouds: 1_000,
  /** Named sets of places. */
  domains: 1_000,
  /** Tokens of its Subclouds that open something. */
  tokens: 10_000,
  /** Steps that the `where` expressions of its revisions in force can take for each node (policy/cel/cel-cost). */
  celSteps: 100_000,
  /** Organisations that the account has made. */
  organisations: 100,
} as const;
export type QuotaName = keyof typeof QUOTA_DEFAULTS;
export const QUOTA_NAMES = Object.keys(QUOTA_DEFAULTS) as QuotaName[];
export type QuotaAmounts = Readonly<Record<QuotaName, number>>;

const amount = z.int().nonnegative().max(1_000_000_000);
const shapeOf = <Shape extends z.ZodType>(shape: Shape) =>
  z.strictObject({
    subclouds: shape,
    domains: shape,
    tokens: shape,
    celSteps: shape,
    organisations: shape,
  } satisfies Record<QuotaName, Shape>);

export const quotaShape = z.strictObject({
  /** Whose it is: what its teams and service accounts have counts with an organisation; null: of everybody who has no other. */
  principal: principalId.nullable(),
  limits: shapeOf(amount),
  /** Null: nobody's. */
  used: shapeOf(z.int()).nullable(),
  /** Of the limits those that are its own. */
  own: z.array(z.enum(QUOTA_NAMES)),
});
export type Quota = z.infer<typeof quotaShape>;

const about = z.strictObject({ principal: principalId.optional() });

export const quotasRoutes = defineRoutes({
  getQuota: {
    method: 'get',
    path: '/api/v1/quotas',
    auth: 'credential',
    action: 'quota.read',
    summary:
      'What somebody has and may have; without a principal the caller, of the admin token what everybody may have',
    query: about,
    status: 200,
    response: quotaShape,
    errors: [],
  },
  setQuota: {
    method: 'put',
    path: '/api/v1/quotas',
    auth: 'credential',
    action: 'quota.set',
    summary: 'Change what somebody may have, or without a principal what everybody may who has no other',
    body: about.extend({
      /** Null: as everybody. What is above a lower limit stays, and nothing comes to it. */
      limits: shapeOf(amount.nullable()).partial(),
    }),
    status: 200,
    response: quotaShape,
    errors: ['client.not_found'],
  },
});
