/**
 * The rules of the manifest, read from its text and evaluated as plainly as they are written: one node, one Subcloud,
 * everything looked at every time. Shares nothing with the product but the types of its input, and no CEL.
 */
import type { Consent, Isolation } from '@subcloud/policy/consent';
import type { NodeFacts } from '@subcloud/policy/facts';
import type { ModelsClause, NodesClause, SubcloudSpec } from '@subcloud/policy/manifest';
import { type Asked, type OracleContext, milliseconds, readings } from './oracle-facts.ts';
import { gpusHold, stakeHolds, trustOrder } from './oracle-hardware.ts';
import { judgeModels } from './oracle-models.ts';
import { placesHold } from './oracle-places.ts';

export interface OracleSpec {
  readonly models: Partial<ModelsClause>;
  readonly nodes: Partial<NodesClause>;
}

export interface OracleClause {
  readonly clause: string;
  readonly pass: boolean;
  /** The fact that the clause asks for is not known. */
  readonly unknown: boolean;
}

export interface OracleEligibility {
  readonly eligible: boolean;
  /** In the order in which the manifest's reader is told of them. */
  readonly clauses: readonly OracleClause[];
  /** What the node may serve under the policy, sorted. */
  readonly models: readonly string[];
}

/** What the compiler takes: the clauses with the defaults that the manifest's reader fills in. */
export function whole({ models, nodes }: OracleSpec): Pick<SubcloudSpec, 'models' | 'nodes'> {
  return {
    models: { ...models, dedicated: models.dedicated ?? false, private: models.private ?? false },
    nodes: { ...nodes, maxAge: nodes.maxAge ?? '10m' },
  };
}

type Answer = 'yes' | 'no' | 'unknown';

/** Eligible: every `nodes` clause that is present passes, and at least one model that the node serves passes `models`. */
export function eligibility(
  spec: OracleSpec,
  node: NodeFacts,
  now: number,
  owner: string | null = null,
): OracleEligibility {
  const { operators, location, operatorSeat, hardware, trust, labels, maxAge = '10m' } = spec.nodes;
  const context: OracleContext = { node, now, owner, maxAgeMs: milliseconds(maxAge) };
  const clauses: OracleClause[] = [];
  const add = (clause: string, answers: readonly Answer[]): void => {
    // Each source that is asked for must pass; the first that does not is the one that is shown.
    const answer = answers.find((each) => each !== 'yes') ?? 'yes';
    clauses.push({ clause, pass: answer === 'yes', unknown: answer === 'unknown' });
  };

  if (operators !== undefined) add('nodes.operators', [operators.in.some((id) => id === node.operator) ? 'yes' : 'no']);
  if (location !== undefined) {
    add(
      'nodes.location',
      readings(context, 'location', asked(location, 'measured')).map((value) => {
        const each = value?.candidates.map((candidate) => placesHold(location.in, location.notIn, candidate)) ?? [];
        // Sources that disagree leave several candidates: unknown, unless every one of them passes.
        if (each.length === 0) return 'unknown';
        if (each.every((verdict) => verdict === 'yes')) return 'yes';
        return each.every((verdict) => verdict === 'no') ? 'no' : 'unknown';
      }),
    );
  }
  if (operatorSeat !== undefined) {
    add(
      'nodes.operatorSeat',
      readings(context, 'operatorSeat', asked(operatorSeat, 'attested')).map((seat) =>
        seat === undefined ? 'unknown' : placesHold(operatorSeat.in, operatorSeat.notIn, seat),
      ),
    );
  }
  if (hardware !== undefined) {
    add(
      'nodes.hardware',
      readings(context, 'hardware', asked(hardware, 'measured')).map((value) =>
        value === undefined ? 'unknown' : gpusHold(hardware.gpu, value.gpus),
      ),
    );
  }
  if (trust !== undefined) {
    const { level, reputation, stake } = trust;
    const from = asked(trust, 'measured');
    if (level !== undefined) {
      add(
        'nodes.trust.level',
        readings(context, 'trustLevel', from).map((seen) =>
          seen === undefined ? 'unknown' : trustOrder(seen) >= trustOrder(level) ? 'yes' : 'no',
        ),
      );
    }
    if (reputation !== undefined) {
      add(
        'nodes.trust.reputation',
        readings(context, 'reputation', from).map((seen) =>
          seen === undefined ? 'unknown' : seen >= reputation.min ? 'yes' : 'no',
        ),
      );
    }
    if (stake !== undefined) {
      add(
        'nodes.trust.stake',
        readings(context, 'stake', from).map((seen) => (seen === undefined ? 'unknown' : stakeHolds(stake.min, seen))),
      );
    }
  }
  if (labels !== undefined) {
    add(
      'nodes.labels',
      readings(context, 'labels', asked({}, 'declared')).map((has) => {
        if (has === undefined) return 'unknown';
        const pairs = new Set(Object.entries(has).map(([key, value]) => JSON.stringify([key, value])));
        return Object.entries(labels).every((pair) => pairs.has(JSON.stringify(pair))) ? 'yes' : 'no';
      }),
    );
  }

  const { steps, ids } = judgeModels(spec.models, context);
  for (const { clause, answer } of steps) add(clause, [answer]);
  const eligible = clauses.every(({ pass }) => pass);
  return { eligible, clauses, models: eligible ? ids : [] };
}

function asked(
  { source, by }: { readonly source?: Asked['source'] | undefined; readonly by?: readonly string[] | undefined },
  usual: Asked['usual'],
): Asked {
  return { source, by, usual };
}

export interface OracleSubcloud {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly spec: OracleSpec & Pick<SubcloudSpec, 'participation'> & { readonly isolation: Isolation };
}

export interface OracleNode {
  readonly facts: NodeFacts;
  readonly consent: Consent;
}

const MORE: readonly Isolation[] = ['shared', 'isolate', 'exclusive'];
function notMoreThan(wanted: Isolation, allowed: Isolation): boolean {
  return MORE.indexOf(wanted) <= MORE.indexOf(allowed);
}

/** The operator's yes that names the Subcloud, for as much isolation as it has now. */
export function operatorNames(node: OracleNode, subcloud: OracleSubcloud): boolean {
  for (const entry of node.consent.join) {
    const name = typeof entry === 'string' ? entry : entry.name;
    const most = typeof entry === 'string' ? node.consent.isolation : entry.isolation;
    if (name === subcloud.name && notMoreThan(subcloud.spec.isolation, most)) return true;
  }
  return false;
}

/** The operator lets Subclouds of this owner, that isolate no more than this one, take the node by themselves. */
export function operatorLetsAutoJoin(node: OracleNode, subcloud: OracleSubcloud): boolean {
  // Who wants the node alone is named, always.
  if (subcloud.spec.isolation === 'exclusive') return false;
  if (!notMoreThan(subcloud.spec.isolation, node.consent.isolation)) return false;
  const { autoJoin } = node.consent;
  if (autoJoin === 'none') return false;
  if (autoJoin === 'all') return true;
  return 'owners' in autoJoin && new Set<string>(autoJoin.owners).has(subcloud.owner);
}

/**
 * The operator's yes: by name, or by letting the Subcloud take the node by itself where it does that at all. An
 * assignment needs none where operator and owner are the same.
 */
export function operatorSaysYes(node: OracleNode, subcloud: OracleSubcloud, assigned: boolean): boolean {
  const { mode, autoJoin } = subcloud.spec.participation;
  if (operatorNames(node, subcloud)) return true;
  if (mode === 'open' && autoJoin && operatorLetsAutoJoin(node, subcloud)) return true;
  return assigned && node.facts.operator === subcloud.owner;
}

/** The owner's yes. Open: whoever asks. Private: whom the owner invited or assigned, and nobody else. */
export function ownerSaysYes(subcloud: OracleSubcloud, assigned: boolean): boolean {
  return subcloud.spec.participation.mode === 'open' || assigned;
}
