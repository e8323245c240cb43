import { AppError } from '@subcloud/contract/errors';
import { newId } from '@subcloud/kit/clock';
import { hashSecret, secretKind } from '@subcloud/kit/secrets';
import { verifyText } from '@subcloud/kit/signing';
import type { PrincipalId } from '@subcloud/policy/principal';
import type { Handlers } from '../context.ts';
import { issue } from '../../pass.ts';
import { insertEvents } from '../../store/events.ts';
import { saveDocuments } from '../../store/save.ts';
import { isBannedOperator } from '../../world/bans.ts';
import type { NodeRecord } from '../../world/world.ts';

/** How long an enrolment waits until gateways know the node, so that its first dial is not refused. */
const KNOWN_WAIT_MS = 2_000;

export const enrolmentHandlers: Pick<Handlers, 'enrol'> = {
  async enrol(context, { body }) {
    const { loop, clock, authority, leases, pass } = context;
    const refused = new AppError('policy.join_refused');
    if (secretKind(body.joinToken) !== 'join') throw refused;
    const hash = hashSecret(body.joinToken);
    if (!verifyText(body.publicKey, `subcloud/v1/enrol\n${hash}\n${body.publicKey}`, body.proof)) {
      throw new AppError('policy.join_refused', { message: 'The proof of the node key does not hold.' });
    }
    const { result, tableVersion } = await loop.change(async (tx) => {
      const nowMs = clock.nowMs();
      const row = await tx
        .selectFrom('join_tokens')
        .select(['id', 'operator', 'expires_at', 'revoked_at'])
        .where('hash', '=', hash)
        .executeTakeFirst();
      if (row === undefined || row.revoked_at !== null || row.expires_at <= nowMs) throw refused;
      const operator = row.operator as PrincipalId;
      if (isBannedOperator(loop.world, operator))
        throw new AppError('policy.join_refused', { message: 'This operator is banned from the network.' });
      const known = await tx
        .selectFrom('nodes')
        .select(['id', 'operator', 'removed_at'])
        .where('public_key', '=', body.publicKey)
        .executeTakeFirst();
      if (known !== undefined) {
        if (known.removed_at !== null)
          throw new AppError('policy.join_refused', {
            message: 'This node key was removed from the network: the machine needs a new one (an empty data folder).',
          });
        if (known.operator !== operator)
          throw new AppError('client.conflict', { message: 'This node key is enrolled for another operator.' });
        const node = loop.world.nodes.get(known.id);
        if (node?.document === undefined) throw new AppError('platform.internal');
        // An agent that died before it wrote the answer down asks again.
        const state = nodeState(node);
        const audit = { subject: `node:${node.id}`, before: state, after: state, actor: joining(row) };
        return { audit, result: { node, document: node.document.document }, touched: [], apply: () => undefined };
      }
      const node: NodeRecord = {
        id: newId('nod'),
        name: body.name,
        operator,
        publicKey: body.publicKey,
        enrolledAtMs: nowMs,
        lastSeenAtMs: null,
        toldOnline: false,
        address: null,
        agentVersion: body.agentVersion,
        declarationSerial: 0,
        consent: null,
        concurrency: null,
        claims: [],
        memberships: new Map(),
        answers: new Map(),
        document: undefined,
        admitted: new Map(),
        facts: undefined,
        confirmedAtMs: 0,
        dueMs: null,
        decidedAtMs: 0,
        drained: { serial: 0, pools: [] },
        lossVersion: 0,
      };
      const record = issue(pass, node, new Map(), nowMs);
      await tx
        .insertInto('nodes')
        .values({
          id: node.id,
          name: node.name,
          operator,
          public_key: node.publicKey,
          enrolled_at: nowMs,
          removed_at: null,
          last_seen_at: null,
          address: null,
          agent_version: node.agentVersion,
          declaration_serial: 0,
          consent: null,
          concurrency: null,
        })
        .execute();
      await tx
        .updateTable('join_tokens')
        .set((eb) => ({ uses: eb('uses', '+', 1) }))
        .where('id', '=', row.id)
        .execute();
      await insertEvents(
        tx,
        [
          {
            kind: 'node.enrolled',
            node: node.id,
            subcloud: null,
            actor: operator,
            reason: `join token ${row.id}`,
            detail: { name: node.name },
          },
        ],
        nowMs,
      );
      await saveDocuments(tx, [{ node: node.id, record }]);
      return {
        audit: { subject: `node:${node.id}`, before: null, after: nodeState(node), actor: joining(row) },
        result: { node, document: record.document },
        touched: [node.id],
        apply: (world) => {
          node.document = record;
          world.nodes.set(node.id, node);
        },
      };
    });
    await leases.wait(tableVersion, KNOWN_WAIT_MS);
    return {
      node: result.node.id,
      operator: result.node.operator,
      chain: authority.chain(),
      document: result.document,
    };
  },
};

function joining(token: { readonly id: string }) {
  return { name: `join-token:${token.id}`, role: 'join-token' };
}

function nodeState({ name, operator, publicKey }: NodeRecord) {
  return { name, operator, publicKey };
}
