/** What a node offers where: models that a Subcloud keeps to itself, and what an operator keeps back. */
import { describe, expect, it } from 'vitest';
import { invited } from './by-owner.ts';
import { type ReconcileResult, type SubcloudPolicy, reconcileNode } from './reconcile.ts';
import { GLOBAL, LAB, claims, subcloud, world } from './testing/one-node.ts';

const PRIVATE = { mode: 'private', autoJoin: false } as const;

describe('a Subcloud that keeps its models to itself', () => {
  const keeper = (name: string, keeps: readonly string[] = ['secret']): SubcloudPolicy => subcloud(name, { keeps });
  const yes = (...names: string[]) => ({ join: names.map((name) => ({ name, isolation: 'exclusive' as const })) });
  const MODELS = ['secret', 'plain'];
  const offers = (result: ReconcileResult, id: string) => result.verdicts.get(id)?.decision.models;

  it('takes no node whose operator did not name it, however much may be taken by themselves', () => {
    const node = world([keeper('lab')], { isolation: 'exclusive' });
    expect(node.step({ models: MODELS }).verdicts.get(LAB)?.reason).toBe('consent');
    node.step({ consent: { ...node.at.consent, isolation: 'shared', join: ['lab'] } });
    expect(node.lab()).toBe('none');
    node.step({ consent: { ...node.at.consent, ...yes('lab') } });
    expect(node.lab()).toBe('active: joined');
  });

  it('has its models out of every other pool while it holds the node, suspended and draining included', () => {
    const pools = [subcloud('lab', { keeps: ['secret'], tier: 'gold' }), subcloud('other'), GLOBAL];
    const node = world(pools, yes('lab'));
    let result = node.step({ models: MODELS });
    expect([offers(result, LAB), offers(result, 'sub_other'), offers(result, 'global')]).toEqual([
      ['secret'],
      ['plain'],
      ['plain'],
    ]);
    result = node.step({ tier: 'silver' });
    expect(node.lab()).toBe('suspended: nodes.labels');
    expect(offers(result, 'global')).toEqual(['plain']);
    result = node.step({ models: ['secret'] });
    expect(node.at.memberships.get('global')).toMatchObject({ state: 'suspended', reason: 'private' });
    expect(node.at.memberships.get('sub_other')).toMatchObject({ state: 'suspended', reason: 'private' });
    result = node.step({ consent: { ...node.at.consent, join: [] }, models: MODELS });
    expect(node.lab()).toBe('left: consent');
    expect(offers(result, 'global')).toEqual(MODELS);
  });

  it('wins a model that another keeps, too, by having been active earlier, then by its id; in any order, and in one pass', () => {
    for (const [first, second] of [
      ['lab', 'zoo'],
      ['zoo', 'lab'],
    ] as const) {
      const pools = [keeper('lab', ['secret']), keeper('zoo', ['secret', 'plain'])];
      const node = world(pools, yes(first));
      node.step({ models: MODELS }, 1);
      const result = node.step({ consent: { ...node.at.consent, ...yes(first, second) } }, 1);
      const backwards = reconcileNode({
        node: {
          id: 'nod_1',
          operator: 'user:op',
          consent: node.at.consent,
          facts: { nodeId: 'nod_1', operator: 'user:op', claims: claims('gold', MODELS), lastSeenAt: null },
        },
        memberships: node.at.memberships,
        subclouds: [...pools].reverse(),
        nowMs: node.at.nowMs,
        absenceCounts: true,
      });
      expect(backwards.changes).toEqual([]);
      expect(backwards.memberships).toEqual(result.memberships);
      expect(offers(result, `sub_${first}`)).toContain('secret');
      expect(offers(result, `sub_${second}`)).not.toContain('secret');
    }
    const both = world([keeper('zoo'), keeper('lab')], yes('lab', 'zoo'));
    both.step({ models: ['secret'] });
    expect([both.lab(), both.at.memberships.get('sub_zoo')?.state]).toEqual(['active: joined', 'requested']);
    expect(both.at.memberships.get('sub_zoo')?.reason).toBe('private');
  });
});

describe('what an operator keeps back', () => {
  it('a no by name wins over every rule, over a yes, and over an invitation', () => {
    const no = { leave: ['lab'], autoJoin: 'all', join: ['lab'] } as const;
    const open = world([subcloud('lab')], { ...no, leave: ['lab'], join: ['lab'] });
    open.step();
    expect(open.lab()).toBe('none');
    const asked = world([subcloud('lab', { participation: PRIVATE })], { leave: ['lab'], join: ['lab'] });
    asked.owner(invited);
    asked.step();
    expect(asked.lab()).toBe('left: consent');
  });

  it('models that it does not list for a pool are not offered there, and without one left it is not in', () => {
    const node = world([subcloud('lab'), GLOBAL], {
      pools: { lab: { models: ['team/*'] }, global: { models: ['m'] } },
    });
    const result = node.step({ models: ['m', 'team/a'] });
    expect(result.verdicts.get(LAB)?.decision.models).toEqual(['team/a']);
    expect(result.verdicts.get('global')?.decision.models).toEqual(['m']);
    node.step({ models: ['m'] });
    expect(node.lab()).toBe('suspended: consent');
  });
});
