/** What owners and operators come up with: a few manifests and consents, of each kind that makes a difference to the order. */
import type { Consent } from '@subcloud/policy/consent';
import type { SubcloudSpec } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Settings } from './agent.ts';
import type { Chance } from './chance.ts';

export const OPERATORS: readonly PrincipalId[] = ['org:acme', 'org:birch', 'user:solo'];
export const NAMES = ['alpha', 'beta'];
export const MODELS = ['lab/small', 'lab/large'];

export function anySpec(chance: Chance): SubcloudSpec {
  const base = { models: {}, nodes: {}, access: { tokens: false } };
  const open = { mode: 'open' as const, autoJoin: chance.happens(0.8) };
  const closed = { mode: 'private' as const, autoJoin: false };
  const isolation = chance.happens(0.6) ? ('isolate' as const) : ('shared' as const);
  switch (chance.weighted({ plain: 4, europe: 3, models: 2, labels: 1, closed: 3 })) {
    case 'plain':
      return { ...base, participation: open, isolation };
    case 'europe':
      return { ...base, nodes: { location: { in: ['EU'], source: 'measured' } }, participation: open, isolation };
    case 'models':
      return { ...base, models: { allow: [{ id: 'lab/small' }] }, participation: open, isolation };
    case 'labels':
      return { ...base, nodes: { labels: { tier: 'gold' } }, participation: open, isolation };
    case 'closed':
      return { ...base, participation: closed, isolation };
  }
}

export function anySettings(chance: Chance): Settings {
  const isolation = chance.happens(0.7) ? ('isolate' as const) : ('shared' as const);
  const consent: Consent = {
    global: chance.happens(0.85),
    autoJoin: chance.weighted({ all: 6, none: 1, listed: 1 }) === 'all' ? 'all' : { owners: ['org:acme'] },
    isolation,
    join: chance.happens(0.3) ? [{ name: 'alpha', isolation }, 'beta'] : [],
  };
  const models = chance.weighted({ both: 4, small: 2, large: 1, none: 1 });
  return {
    consent,
    models: MODELS.filter((model) => models === 'both' || model === `lab/${models}`),
    labels: chance.happens(0.5) ? { tier: 'gold' } : {},
  };
}
