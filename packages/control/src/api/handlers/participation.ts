import { AppError } from '@subcloud/contract/errors';
import type { EventKind } from '@subcloud/contract/event-kinds';
import type { participationRoutes, Waiting } from '@subcloud/contract/routes/participation';
import type { Isolation } from '@subcloud/policy/consent';
import type { Actor } from '../../access/actor.ts';
import { actorName } from '../../access/actor.ts';
import { knownSubcloud, may, mayKnow, operatedNode, ownedSubcloud } from '../../access/authorise.ts';
import type { AuditedChange } from '../../audit/audited.ts';
import type { Transaction } from '../../loop.ts';
import { approved, asked, denied } from '../../membership/by-owner.ts';
import { INVITATION_VALID_MS, type Membership } from '../../membership/reconcile.ts';
import { insertEvents } from '../../store/events.ts';
import { membershipRow } from '../../store/save.ts';
import type { OperatorAnswer } from '../../world/answers.ts';
import { GLOBAL_ID, type NodeRecord, type SubcloudRecord, type World } from '../../world/world.ts';
import { type ApiContext, type Handlers, type WriteContext, iso, page, withdrawn } from '../context.ts';
import { memberView } from '../views.ts';
import { banHandlers } from './bans.ts';

export const participationHandlers: Pick<Handlers, keyof typeof participationRoutes> = {
  ...banHandlers,

  async approveMember(context, { params }, actor) {
    const { loop } = context;
    const { result } = await loop.change((tx) => {
      const { subcloud, node } = pairForOwner(loop.world, actor, params);
      if (subcloud.manifest?.spec.participation.admit?.any.includes('approval') === false)
        throw new AppError('client.conflict', {
          message: `${subcloud.name} admits no node by approval; \`member invite\` takes one in all the same.`,
        });
      const membership = approved(node.memberships.get(subcloud.id));
      if (membership === undefined)
        throw new AppError('client.conflict', { message: `${node.id} has no open request in ${subcloud.name}.` });
      return putMembership(context, tx, { subcloud, node, membership, actor, kind: 'membership.approved' });
    });
    return viewOf(context, result);
  },

  async denyMember(context, { params }, actor) {
    const { loop, clock } = context;
    const { result } = await loop.change((tx) => {
      const { subcloud, node } = pairForOwner(loop.world, actor, params);
      const membership = denied(node.memberships.get(subcloud.id), clock.nowMs());
      if (membership === undefined)
        throw new AppError('client.conflict', { message: `${node.id} has no open request in ${subcloud.name}.` });
      return putMembership(context, tx, { subcloud, node, membership, actor, kind: 'membership.denied' });
    });
    return viewOf(context, result);
  },

  async acceptMember(context, { params, body }, actor) {
    const { loop } = context;
    const { result } = await loop.change((tx) => accept(context, tx, params, body.isolation, actor));
    return viewOf(context, result);
  },

  async declineMember(context, { params }, actor) {
    const { loop } = context;
    const { tableVersion } = await loop.change((tx) => {
      const { subcloud, node } = pairForOperator(loop.world, actor, params);
      return answerWith(context, tx, { subcloud, node, actor, answer: 'declined', isolation: 'shared' });
    });
    return withdrawn(context, tableVersion);
  },

  listInbox({ loop }, { query }, actor) {
    return page(waitingFor(loop.world, actor), ({ id }) => id, query);
  },
};

interface PairNames {
  readonly name: string;
  readonly node: string;
}
interface Pair {
  readonly subcloud: SubcloudRecord;
  readonly node: NodeRecord;
}

/** Throws client.not_found where the node has nothing to do with the Subcloud, whether or not there is such a node. */
function pairForOwner(world: World, actor: Actor, { name, node: id }: PairNames): Pair {
  const subcloud = ownedSubcloud(actor, world, name);
  const node = world.nodes.get(id);
  if (node === undefined || !node.memberships.has(subcloud.id))
    throw new AppError('client.not_found', { message: `${id} has no membership in ${name}.` });
  return { subcloud, node };
}

/** What may be asked to join by its name is known by its name; everything else to who may know of it. */
function pairForOperator(world: World, actor: Actor, { name, node: id }: PairNames): Pair {
  const node = operatedNode(actor, world, id);
  const named = world.subclouds.get(world.subcloudByName.get(name) ?? '');
  const subcloud =
    named !== undefined && named.id !== GLOBAL_ID && named.participation.mode !== 'private'
      ? named
      : knownSubcloud(actor, world, name);
  if (subcloud.id === GLOBAL_ID)
    throw new AppError('client.conflict', {
      message: 'The global network has no invitations: `consent.global` of the agent says yes or no.',
    });
  return { subcloud, node };
}

async function accept(
  context: WriteContext,
  tx: Transaction,
  names: PairNames,
  wanted: Isolation | undefined,
  actor: Actor,
): Promise<AuditedChange<Pair>> {
  const { loop, clock } = context;
  const { subcloud, node } = pairForOperator(loop.world, actor, names);
  const stored = node.memberships.get(subcloud.id);
  if (node.consent?.byAccount === false)
    throw new AppError('client.conflict', {
      message: `The agent of ${node.name} takes no yes from an account (\`consent.byAccount: false\`): say it there, with \`subcloud agent join ${subcloud.name}\`.`,
    });
  if (stored?.state === 'banned' || stored?.state === 'removed')
    throw new AppError('client.conflict', {
      message: `${node.name} is ${stored.state} in ${subcloud.name} (${stored.reason}): only its owner can change that.`,
    });
  const isolation = wanted ?? (subcloud.policy.models.isPrivate ? 'exclusive' : subcloud.isolation);
  const change = await answerWith(context, tx, { subcloud, node, actor, answer: 'accepted', isolation });
  const membership = subcloud.participation.mode === 'private' ? undefined : asked(stored, clock.nowMs());
  if (membership === undefined) return change;
  await saveMembership(tx, { subcloud, node }, membership);
  return {
    ...change,
    apply: (world) => {
      change.apply(world);
      setMembership(node, subcloud.id, membership);
    },
  };
}

async function answerWith(
  { clock }: WriteContext,
  tx: Transaction,
  given: Pair & Pick<OperatorAnswer, 'answer' | 'isolation'> & { readonly actor: Actor },
): Promise<AuditedChange<Pair>> {
  const { subcloud, node, actor, answer, isolation } = given;
  const nowMs = clock.nowMs();
  const before = node.answers.get(subcloud.id);
  const after: OperatorAnswer = { answer, isolation, by: actorName(actor), atMs: nowMs };
  const row = { answer, isolation, answered_by: after.by, at: nowMs };
  await tx
    .insertInto('operator_answers')
    .values({ node_id: node.id, subcloud_id: subcloud.id, ...row })
    .onConflict((conflict) => conflict.columns(['node_id', 'subcloud_id']).doUpdateSet(row))
    .execute();
  await insertEvents(tx, [eventOf(`membership.${answer}`, { subcloud, node }, actor, { isolation })], nowMs);
  return {
    audit: {
      subject: `member:${subcloud.name}/${node.id}`,
      before: before === undefined ? null : { answer: before.answer, isolation: before.isolation },
      after: { answer, isolation },
    },
    result: { subcloud, node },
    touched: [node.id],
    apply: () => {
      node.answers = new Map([...node.answers, [subcloud.id, after]]);
    },
  };
}

async function putMembership(
  { clock }: WriteContext,
  tx: Transaction,
  put: Pair & { readonly membership: Membership; readonly actor: Actor; readonly kind: EventKind },
): Promise<AuditedChange<Pair>> {
  const { subcloud, node, membership, actor, kind } = put;
  const stored = node.memberships.get(subcloud.id);
  await saveMembership(tx, { subcloud, node }, membership);
  await insertEvents(tx, [eventOf(kind, put, actor, { from: stored?.state ?? null })], clock.nowMs());
  return {
    audit: {
      subject: `member:${subcloud.name}/${node.id}`,
      before: stateOf(stored),
      after: stateOf(membership),
    },
    result: { subcloud, node },
    touched: [node.id],
    apply: () => setMembership(node, subcloud.id, membership),
  };
}

async function saveMembership(tx: Transaction, { subcloud, node }: Pair, membership: Membership): Promise<void> {
  const row = membershipRow(node.id, subcloud.id, membership);
  await tx
    .insertInto('memberships')
    .values(row)
    .onConflict((conflict) => conflict.columns(['node_id', 'subcloud_id']).doUpdateSet(row))
    .execute();
}

function setMembership(node: NodeRecord, subcloudId: string, membership: Membership): void {
  node.memberships = new Map(node.memberships).set(subcloudId, membership);
}

function stateOf(membership: Membership | undefined) {
  if (membership === undefined) return null;
  const { state, reason, assigned } = membership;
  return { state, reason, assigned };
}

function eventOf(kind: EventKind, { subcloud, node }: Pair, actor: Actor, detail: object) {
  return { kind, node: node.id, subcloud: subcloud.id, actor: actorName(actor), reason: 'by request', detail };
}

function viewOf({ loop, pass }: ApiContext, { subcloud, node }: Pair) {
  const membership = node.memberships.get(subcloud.id);
  // Where the operator's yes has nobody to answer to yet, there is no membership, and it stands all the same.
  const shown = membership ?? NOT_YET;
  return memberView(loop.world, pass.table, subcloud, node, shown);
}
const NOT_YET: Membership = {
  state: 'left',
  reason: 'not invited',
  sinceMs: 0,
  activeSinceMs: null,
  assigned: false,
  cooldownFromMs: null,
  drainsTo: null,
};

function waitingFor(world: World, actor: Actor): Waiting[] {
  const waiting: Waiting[] = [];
  for (const node of world.nodes.values()) {
    for (const [subcloudId, { state, reason, sinceMs }] of node.memberships) {
      const subcloud = world.subclouds.get(subcloudId);
      if (subcloud === undefined) continue;
      const kind =
        state === 'invited' && reason === 'consent' && may(world, actor, { kind: 'node', node }, 'member.accept')
          ? 'invitation'
          : state === 'requested' &&
              reason === 'approval' &&
              may(world, actor, { kind: 'subcloud', subcloud }, 'member.approve')
            ? 'request'
            : undefined;
      if (kind === undefined || !mayKnow(actor, subcloud, world)) continue;
      waiting.push({
        id: `${kind}/${subcloud.name}/${node.id}`,
        kind,
        subcloud: subcloud.name,
        owner: subcloud.owner,
        node: node.id,
        nodeName: node.name,
        operator: node.operator,
        isolation: subcloud.policy.models.isPrivate ? 'exclusive' : subcloud.isolation,
        since: iso(sinceMs),
        expiresAt: iso(sinceMs + INVITATION_VALID_MS),
      });
    }
  }
  return waiting;
}
