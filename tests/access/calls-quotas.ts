/** The calls of calls.ts about quotas: a team's is its organisation's, so the organisation is asked about. */
import type { quotasRoutes } from '@subcloud/contract/routes/quotas';
import type { Call } from './calls.ts';

export const QUOTA_CALLS: Readonly<Record<keyof typeof quotasRoutes, Call>> = {
  getQuota: {
    about: 'principal',
    refused: 'forbidden',
    owners: ['org:acme'],
    input: (_fixture, { owner }) => ({ query: { principal: owner } }),
  },
  setQuota: {
    about: 'network',
    refused: 'forbidden',
    input: () => ({ body: { principal: 'org:acme', limits: { tokens: 9_000 } } }),
  },
};
