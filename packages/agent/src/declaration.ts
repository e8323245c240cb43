/**
 * What the node says of itself, signed with its own key, so that no gateway can speak for it: models, GPUs, labels, place,
 * and its operator's consent. Serials only grow, also over restarts and when the clock is set back.
 */
import type { SignedDocument } from '@subcloud/contract/documents';
import type { Clock } from '@subcloud/kit/clock';
import { type SigningKey, signDocument } from '@subcloud/kit/signing';
import { apiId } from '@subcloud/policy/internal-api';
import { UNKNOWN_TRAITS } from './engines/engine-make.ts';
import type { EngineFleet } from './engines/engine-fleet.ts';
import type { LiveSettings } from './settings.ts';
import type { Hardware } from './hardware/watch-hardware.ts';
import type { NodeStateStore } from './state/node-state.ts';
import { AGENT_VERSION } from './version.ts';

/** A fresh declaration of what holds now. Throws when its serial cannot be stored. */
export function signDeclaration(from: {
  readonly key: SigningKey;
  readonly state: NodeStateStore;
  readonly settings: LiveSettings;
  readonly engines: EngineFleet;
  readonly hardware: Hardware;
  readonly clock: Clock;
}): SignedDocument {
  const { key, state, engines, hardware, clock } = from;
  const { labels, location, consent, concurrency, apis } = from.settings.current;
  const hosted = apis.map(({ name }) => ({ id: apiId(name), ...UNKNOWN_TRAITS, modalities: null }));
  const serial = Math.max(state.current.declarationSerial + 1, Math.trunc(clock.nowMs()));
  state.save({ declarationSerial: serial });
  return signDocument(key, 'declaration', {
    version: 1,
    networkId: state.current.networkId,
    nodeId: state.current.nodeId,
    serial,
    issuedAt: Math.max(0, Math.trunc(clock.nowMs())),
    models: engines
      .facts()
      .map((fact) => ({ ...fact, modalities: fact.modalities === null ? null : [...fact.modalities] }))
      .concat(hosted),
    labels: { ...labels },
    hardware: hardware.current === null ? null : { gpus: [...hardware.current.gpus] },
    location,
    consent,
    concurrency,
    agentVersion: AGENT_VERSION,
  });
}
