/**
 * All Subclouds as the reconciler walks through them, sorted out once for a whole fleet: what does not depend on the node
 * is not found out again for each.
 */
import { type ManyPolicies, manyPolicies } from '@subcloud/policy/admit-many';
import type { ConsentQuestion } from '@subcloud/policy/consent';
import { DEFAULT_MAX_AGE_MS } from '@subcloud/policy/manifest';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { SubcloudPolicy } from './membership.ts';

/** A Subcloud, its place in the list, and what its nodes' operators are asked; null: it is `global`. */
export interface Listed {
  readonly subcloud: SubcloudPolicy;
  readonly at: number;
  readonly questions: Questions | null;
}

export interface Questions {
  readonly owner: PrincipalId;
  readonly asked: ConsentQuestion;
  /** If it took no more than sharing. */
  readonly lesser: ConsentQuestion;
}

export class SubcloudList implements Iterable<SubcloudPolicy> {
  readonly #byId = new Map<string, Listed>();
  readonly global: Listed | undefined;
  /** Those that keep models to themselves. */
  readonly keepers: readonly Listed[];
  /** Those that keep nothing to themselves. */
  readonly plain: readonly Listed[];
  /** By id. */
  readonly exclusives: readonly SubcloudPolicy[];
  readonly maxAgesMs: readonly number[];
  readonly auditAgesMs: readonly number[];
  readonly policies: ManyPolicies;

  constructor(subclouds: Iterable<SubcloudPolicy>) {
    for (const subcloud of subclouds)
      this.#byId.set(subcloud.id, { subcloud, at: this.#byId.size, questions: questionsOf(subcloud) });
    const all = [...this.#byId.values()];
    this.global = all.find(({ questions }) => questions === null);
    const owned = all.filter(({ questions }) => questions !== null);
    const sharing = owned.filter(({ subcloud }) => subcloud.isolation !== 'exclusive');
    this.keepers = sharing.filter(({ subcloud }) => subcloud.policy.models.isPrivate);
    this.plain = sharing.filter(({ subcloud }) => !subcloud.policy.models.isPrivate);
    this.exclusives = owned
      .map(({ subcloud }) => subcloud)
      .filter(({ isolation }) => isolation === 'exclusive')
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const policies = all.map(({ subcloud }) => subcloud.policy);
    this.maxAgesMs = [...new Set([DEFAULT_MAX_AGE_MS, ...policies.map(({ maxAgeMs }) => maxAgeMs)])];
    this.auditAgesMs = [...new Set(policies.flatMap(({ models }) => models.auditAgesMs))];
    this.policies = manyPolicies(policies);
  }

  /** The list itself, where it is one already. */
  static of(subclouds: Iterable<SubcloudPolicy>): SubcloudList {
    return subclouds instanceof SubcloudList ? subclouds : new SubcloudList(subclouds);
  }

  *[Symbol.iterator](): Iterator<SubcloudPolicy> {
    for (const { subcloud } of this.#byId.values()) yield subcloud;
  }

  get(id: string): Listed | undefined {
    return this.#byId.get(id);
  }

  /** Of a Subcloud that has its nodes together with others; undefined: it is `global`, exclusive, or none. */
  sharing(id: string): Listed | undefined {
    const listed = this.#byId.get(id);
    return listed === undefined || listed.questions === null || listed.subcloud.isolation === 'exclusive'
      ? undefined
      : listed;
  }
}

function questionsOf(subcloud: SubcloudPolicy): Questions | null {
  const { owner } = subcloud;
  if (owner === null) return null;
  const asked = questionOf(subcloud, owner);
  return { owner, asked, lesser: { ...asked, isolation: 'shared', private: false } };
}

/** What the operator is asked about this Subcloud. */
export function questionOf(subcloud: SubcloudPolicy, owner: PrincipalId): ConsentQuestion {
  const { name, isolation, labels, allows, policy } = subcloud;
  return { name, owner, isolation, private: policy.models.isPrivate, labels: labels ?? {}, models: allows };
}
