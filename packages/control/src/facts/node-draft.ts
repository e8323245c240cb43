/** What one report says of one node: gathered, stored, and only then done to the world. */
import type { NodeDeclaration, SignedDocument } from '@subcloud/contract/documents';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import type { Claim, FactName } from '@subcloud/policy/facts';
import { sql } from 'kysely';
import type { ChangeScope, Transaction } from '../loop.ts';
import { smallestMaxAgeMs } from '../membership/due.ts';
import { OFFLINE_AT_MOST_MS } from '../membership/membership.ts';
import { factsOf } from '../world/facts-of.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { changedFacts, replaceClaims, staleFacts } from './claims.ts';

export interface NodeDraft {
  readonly node: NodeRecord;
  claims: Claim[];
  declaration: { readonly body: NodeDeclaration; readonly document: SignedDocument } | undefined;
  /** The address that a link comes from. */
  address: string | undefined;
  acknowledged: { readonly epoch: number; readonly serial: number } | undefined;
  drained: { readonly epoch: number; readonly serial: number; readonly pools: readonly string[] } | undefined;
  /** Facts that had grown too old before the link that confirms them now. */
  revived: ReadonlySet<FactName>;
}

export function newDraft(node: NodeRecord): NodeDraft {
  return {
    node,
    claims: node.claims,
    declaration: undefined,
    address: undefined,
    acknowledged: undefined,
    drained: undefined,
    revived: new Set(),
  };
}

/** What a link revives, by the facts as they are before it. */
export function revivedBy(world: World, node: NodeRecord, nowMs: number): ReadonlySet<FactName> {
  return staleFacts(factsOf(world, node), smallestMaxAgeMs(world), nowMs);
}

/**
 * What a pass has to look at: `none`, nothing at all; undefined, everything. A consent or a drained pool can change
 * anything, and so can a link of a node whose absence counted for something. Any other link changes nothing but what is
 * measured by it: while it was away its facts did not age (docs/decisions/0003).
 */
export function scopeOfDraft(draft: NodeDraft, nowMs: number): ChangeScope | 'none' | undefined {
  const { node, claims, declaration, address, drained, revived } = draft;
  if (drained !== undefined) return undefined;
  if (declaration !== undefined && canonicalJson(declaration.body.consent) !== canonicalJson(node.consent))
    return undefined;
  if (address !== undefined && absenceCounted(node, nowMs)) return undefined;
  const facts = changedFacts(node.claims, claims, nowMs);
  for (const fact of revived) facts.add(fact);
  // Which audits count follows from the digests that the models have.
  if (facts.has('models')) facts.add('audit');
  const moved = address !== undefined && address !== node.address;
  const isNews = facts.size > 0 || moved || declaration !== undefined || acknowledges(draft);
  return isNews ? { facts } : 'none';
}

function absenceCounted({ memberships, lastSeenAtMs, enrolledAtMs }: NodeRecord, nowMs: number): boolean {
  if (nowMs - (lastSeenAtMs ?? enrolledAtMs) >= OFFLINE_AT_MOST_MS) return true;
  for (const { state, reason } of memberships.values()) if (state === 'draining' || reason === 'offline') return true;
  return false;
}

/** One report may speak of a whole fleet, so what it writes is batched. */
export async function saveDrafts(tx: Transaction, drafts: readonly NodeDraft[]): Promise<void> {
  for (const { node, declaration, address } of drafts) {
    // When it was last seen is written by maintenance, for all nodes at once.
    const moved = address !== undefined && address !== node.address;
    if (!moved && declaration === undefined) continue;
    await tx
      .updateTable('nodes')
      .set({
        ...(moved ? { address } : {}),
        ...(declaration === undefined
          ? {}
          : {
              declaration_serial: declaration.body.serial,
              consent: JSON.stringify(declaration.body.consent),
              concurrency: declaration.body.concurrency,
              agent_version: declaration.body.agentVersion,
              declaration: JSON.stringify(declaration.document),
            }),
      })
      .where('id', '=', node.id)
      .execute();
  }
  await replaceClaims(
    tx,
    drafts.map(({ node, claims }) => ({ node: node.id, before: node.claims, after: claims })),
  );
  await saveAcknowledged(tx, drafts.filter(acknowledges));
}

async function saveAcknowledged(tx: Transaction, drafts: readonly NodeDraft[]): Promise<void> {
  if (drafts.length === 0) return;
  const ids = drafts.map(({ node }) => node.id);
  const serials = drafts.map(({ node }) => node.document?.serial ?? 0);
  const agreed = drafts.map(({ node }) => JSON.stringify(Object.fromEntries(node.document?.content ?? [])));
  await sql`update node_documents set acknowledged = true, agreed = given.agreed::jsonb from unnest(${ids}::text[], ${serials}::bigint[], ${agreed}::text[]) as given (id, serial, agreed) where node_documents.node_id = given.id and node_documents.serial = given.serial`.execute(
    tx,
  );
}

function acknowledges({ node, acknowledged }: NodeDraft): boolean {
  return (
    node.document !== undefined &&
    acknowledged !== undefined &&
    acknowledged.epoch === node.document.epoch &&
    acknowledged.serial === node.document.serial &&
    !node.document.acknowledged
  );
}

export function applyDraft(draft: NodeDraft, nowMs: number): void {
  const { node, declaration, address } = draft;
  if (acknowledges(draft) && node.document !== undefined)
    node.document = { ...node.document, acknowledged: true, agreed: node.document.content };
  if (draft.drained !== undefined && draft.drained.epoch === node.document?.epoch)
    node.drained = { serial: draft.drained.serial, pools: draft.drained.pools };
  node.claims = draft.claims;
  node.lastSeenAtMs = nowMs;
  if (address !== undefined) {
    node.address = address;
    node.confirmedAtMs = nowMs;
  }
  if (declaration === undefined) return;
  node.declarationSerial = declaration.body.serial;
  node.consent = declaration.body.consent;
  node.concurrency = declaration.body.concurrency;
  node.agentVersion = declaration.body.agentVersion;
}
