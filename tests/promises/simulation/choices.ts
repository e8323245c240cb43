/** What owners and operators come up with: a few manifests and consents, of each kind that makes a difference to the order. */
import type { Consent } from '@subcloud/policy/consent';
import { type SubcloudManifest, subcloudManifest } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Settings } from './agent.ts';
import type { Chance } from './chance.ts';

export const OPERATORS: readonly PrincipalId[] = ['org:acme', 'org:birch', 'user:solo'];
export const NAMES = ['alpha', 'beta'];
export const MODELS = ['lab/small', 'lab/large'];

/** With the defaults that a reader of manifests fills in. */
export function anyManifest(chance: Chance, name: string): SubcloudManifest {
  const cooldown = chance.of(['0s', '2s', '1m']);
  const isolation = chance.weighted({ isolate: 5, exclusive: 3, shared: 3 });
  const open = { mode: 'open', autoJoin: isolation !== 'exclusive' && chance.happens(0.8), cooldown };
  const spec = {
    plain: { participation: open },
    europe: { nodes: { location: { in: ['EU'], source: 'measured' } }, participation: open },
    models: { models: { allow: [{ id: 'lab/small' }] }, participation: open },
    labels: { nodes: { labels: { tier: 'gold' } }, participation: open },
    closed: { participation: { mode: 'private', autoJoin: false, cooldown } },
  }[chance.weighted({ plain: 4, europe: 3, models: 2, labels: 1, closed: 3 })];
  return subcloudManifest.parse({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name },
    spec: { ...spec, isolation },
  });
}

export function anySettings(chance: Chance): Settings {
  const isolation = chance.weighted({ isolate: 7, exclusive: 3, shared: 3 });
  const consent: Consent = {
    global: chance.happens(0.85),
    autoJoin: chance.weighted({ all: 6, none: 1, listed: 1 }) === 'all' ? 'all' : { owners: ['org:acme'] },
    isolation,
    join: chance.happens(0.45) ? [{ name: 'alpha', isolation }, 'beta'] : [],
    ...(chance.happens(0.15) ? { leave: ['alpha'] } : {}),
  };
  const models = chance.weighted({ both: 4, small: 2, large: 1, none: 1 });
  return {
    consent,
    models: MODELS.filter((model) => models === 'both' || model === `lab/${models}`),
    labels: chance.happens(0.5) ? { tier: 'gold' } : {},
  };
}
