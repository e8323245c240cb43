/**
 * What gateways report of nodes, turned into facts: links (liveness and the measured address), declarations (checked
 * against the node's own key, so that a gateway cannot make one up), acknowledgements, alarms. One report is one change.
 */
import { DECLARATION_VALID_MS, type NodeDeclaration, type SignedDocument } from '@subcloud/contract/documents';
import type { ReportEvent, ReportsRequest } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { openDocument } from '@subcloud/kit/signing';
import { canonicalJson } from '@subcloud/policy/canonical-json';
import type { Claim, FactName } from '@subcloud/policy/facts';
import { sql } from 'kysely';
import type { Change, Loop, Transaction } from '../loop.ts';
import { type NewEvent, insertEvents } from '../store/events.ts';
import type { LinkRecord, NodeRecord, World } from '../world/world.ts';
import { withAudits } from './audits.ts';
import { type ClaimDraft, confirmMeasured, replaceClaims, withClaims } from './claims.ts';
import { declaredClaims } from './declared.ts';
import type { LocationMeasurer } from './measure-location.ts';

export interface ReportSink {
  receive(report: ReportsRequest): Promise<void>;
  /** The gateway is gone for longer than a link may be silent: its links are dead. */
  forget(gateway: string): void;
}

interface Draft {
  node: NodeRecord;
  claims: Claim[];
  declaration: { readonly body: NodeDeclaration; readonly document: SignedDocument } | undefined;
  address: string | undefined;
  acknowledged: { epoch: number; serial: number } | undefined;
  drained: { epoch: number; serial: number; pools: readonly string[] } | undefined;
}

/**
 * What a report can change: the Subclouds that read a fact that is said differently now. A link, a consent or a drained
 * pool can change anything, so they have no scope.
 */
function scopeOf(drafts: readonly Draft[]): Pick<Change<undefined>, 'scope'> {
  const facts = new Set<FactName>();
  for (const { node, claims, declaration, address, drained } of drafts) {
    if (address !== undefined || drained !== undefined) return {};
    if (declaration !== undefined && canonicalJson(declaration.body.consent) !== canonicalJson(node.consent)) return {};
    for (const { fact } of claims.filter((claim) => !node.claims.includes(claim))) facts.add(fact);
    for (const { fact } of node.claims.filter((claim) => !claims.includes(claim))) facts.add(fact);
    // Which audits count follows from the digests that the models have.
    if (facts.has('models')) facts.add('audit');
  }
  return { scope: { facts } };
}

export function createReportSink(options: {
  readonly loop: Loop;
  readonly measurer: () => LocationMeasurer;
  readonly clock: Clock;
  readonly log: Log;
}): ReportSink {
  const { loop, measurer, clock, log } = options;

  const work =
    (report: ReportsRequest) =>
    async (tx: Transaction): Promise<Change<undefined>> => {
      const { world } = loop;
      const nowMs = clock.nowMs();
      const drafts = new Map<string, Draft>();
      const links = linkChanges(world, report);
      const alarms: NewEvent[] = [];
      const draftOf = (id: string): Draft | undefined => {
        const node = world.nodes.get(id);
        if (node === undefined) return undefined;
        const draft = drafts.get(id) ?? {
          node,
          claims: node.claims,
          declaration: undefined,
          address: undefined,
          acknowledged: undefined,
          drained: undefined,
        };
        drafts.set(id, draft);
        return draft;
      };
      const linked = (link: { node: string; address: string; epoch: number; serial: number }): void => {
        const draft = draftOf(link.node);
        if (draft === undefined) return;
        draft.address = link.address;
        draft.acknowledged = link;
        const revoked = world.revokedStatements.get(link.node);
        draft.claims = withClaims(draft.claims, [measuredLocation(measurer(), link.address)], nowMs, revoked);
      };
      for (const link of report.links ?? []) linked(link);
      for (const event of report.events) {
        switch (event.type) {
          case 'linked':
            linked(event);
            break;
          case 'declaration':
            declare(draftOf(event.node), event, nowMs, world, log);
            break;
          case 'document-acknowledged': {
            const draft = draftOf(event.node);
            if (draft !== undefined) draft.acknowledged = event;
            break;
          }
          case 'drained': {
            const draft = draftOf(event.node);
            if (draft !== undefined) draft.drained = event;
            break;
          }
          case 'lock-refusal':
            log.error(
              { gateway: report.gateway, node: event.node, pool: event.pool, tableVersion: event.tableVersion },
              'an agent refused a pool that the table gives it: agent or gateway is faulty',
            );
            alarms.push({
              kind: 'security.lock_refusal',
              node: event.node,
              subcloud: world.subcloudByName.get(event.pool) ?? null,
              actor: `gateway:${report.gateway}`,
              reason: 'agent and table disagree',
              detail: { model: event.model, tableVersion: event.tableVersion, requestId: event.requestId },
            });
            break;
          case 'unlinked':
          case 'alive':
            break;
        }
      }
      await save(tx, [...drafts.values()]);
      await insertEvents(tx, alarms, nowMs);
      return {
        result: undefined,
        apply: () => {
          for (const draft of drafts.values()) applyDraft(draft, nowMs);
          applyLinks(world, links, nowMs);
        },
        touched: [...drafts.keys()],
        ...scopeOf([...drafts.values()]),
      };
    };

  return {
    async receive(report) {
      // Heartbeats change memory alone: the store hears of them once a minute (see maintenance.ts).
      for (const event of report.events)
        if (event.type === 'alive') loop.touch(confirm(loop.world, event.nodes, clock.nowMs()));
      const rest = report.events.filter(({ type }) => type !== 'alive');
      if (rest.length > 0 || report.links !== undefined) await loop.change(work({ ...report, events: rest }));
    },
    forget(gateway) {
      const { world } = loop;
      const changes = new Map([...world.links.keys()].map((node) => [node, null] as const));
      applyLinks(world, { gateway, changes }, clock.nowMs());
      loop.touch(changes.keys());
    },
  };
}

/** A live link confirms what it measures. Returns the nodes of which something is known again that had grown too old. */
function confirm(world: World, nodes: readonly string[], nowMs: number): readonly string[] {
  const revived: string[] = [];
  for (const id of nodes) {
    const node = world.nodes.get(id);
    if (node === undefined || !world.links.has(id)) continue;
    node.lastSeenAtMs = nowMs;
    const confirmed = confirmMeasured(node.claims, nowMs);
    node.claims = confirmed.claims;
    if (confirmed.revived) revived.push(id);
  }
  return revived;
}

function measuredLocation(measurer: LocationMeasurer, address: string): ClaimDraft<'location'> {
  const { candidates, evidence } = measurer.measure(address);
  return { fact: 'location', value: { candidates, evidence }, source: 'measured', issuer: 'network', expiresAt: null };
}

function declare(
  draft: Draft | undefined,
  event: Extract<ReportEvent, { type: 'declaration' }>,
  nowMs: number,
  world: World,
  log: Log,
): void {
  if (draft === undefined) return;
  const { node } = draft;
  try {
    const body = openDocument(event.document, 'declaration', node.publicKey);
    if (body.nodeId !== node.id || body.networkId !== world.networkId)
      throw new Error('it speaks of another node or network');
    if (body.serial <= (draft.declaration?.body.serial ?? node.declarationSerial)) return;
    draft.declaration = { body, document: event.document };
    const { drafts, unsaid } = declaredClaims(body, nowMs + DECLARATION_VALID_MS);
    const kept = draft.claims.filter(
      ({ fact, source }) => source !== 'declared' || !unsaid.some((silent) => silent === fact),
    );
    const said = withClaims(kept, drafts, nowMs, world.revokedStatements.get(node.id));
    draft.claims = withAudits(world.audits, said);
  } catch (error) {
    log.warn({ err: error, node: node.id }, 'a declaration was refused');
  }
}

/** One report may speak of a whole fleet (after a restart), so that what it writes is batched. */
async function save(tx: Transaction, drafts: readonly Draft[]): Promise<void> {
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

async function saveAcknowledged(tx: Transaction, drafts: readonly Draft[]): Promise<void> {
  if (drafts.length === 0) return;
  const ids = drafts.map(({ node }) => node.id);
  const serials = drafts.map(({ node }) => node.document?.serial ?? 0);
  const agreed = drafts.map(({ node }) => JSON.stringify(Object.fromEntries(node.document?.content ?? [])));
  await sql`update node_documents set acknowledged = true, agreed = given.agreed::jsonb from unnest(${ids}::text[], ${serials}::bigint[], ${agreed}::text[]) as given (id, serial, agreed) where node_documents.node_id = given.id and node_documents.serial = given.serial`.execute(
    tx,
  );
}

function acknowledges({ node, acknowledged }: Draft): boolean {
  return (
    node.document !== undefined &&
    acknowledged !== undefined &&
    acknowledged.epoch === node.document.epoch &&
    acknowledged.serial === node.document.serial &&
    !node.document.acknowledged
  );
}

function applyDraft(draft: Draft, nowMs: number): void {
  const { node, declaration, address } = draft;
  if (acknowledges(draft) && node.document !== undefined)
    node.document = { ...node.document, acknowledged: true, agreed: node.document.content };
  if (draft.drained !== undefined && draft.drained.epoch === node.document?.epoch)
    node.drained = { serial: draft.drained.serial, pools: draft.drained.pools };
  node.claims = draft.claims;
  node.lastSeenAtMs = nowMs;
  if (address !== undefined) node.address = address;
  if (declaration === undefined) return;
  node.declarationSerial = declaration.body.serial;
  node.consent = declaration.body.consent;
  node.concurrency = declaration.body.concurrency;
  node.agentVersion = declaration.body.agentVersion;
}

interface LinkChanges {
  readonly gateway: string;
  /** Null: the gateway has no link to the node. */
  readonly changes: ReadonlyMap<string, LinkRecord | null>;
}

function linkChanges(world: World, report: ReportsRequest): LinkChanges {
  const changes = new Map<string, LinkRecord | null>();
  if (report.links !== undefined) {
    for (const [node, links] of world.links)
      if (links.some(({ gateway }) => gateway === report.gateway)) changes.set(node, null);
    for (const { node, address } of report.links) changes.set(node, { gateway: report.gateway, address });
  }
  for (const event of report.events) {
    if (event.type === 'linked') changes.set(event.node, { gateway: report.gateway, address: event.address });
    if (event.type === 'unlinked') changes.set(event.node, null);
  }
  return { gateway: report.gateway, changes };
}

function applyLinks(world: World, { gateway, changes }: LinkChanges, nowMs: number): void {
  for (const [node, link] of changes) {
    const others = (world.links.get(node) ?? []).filter((other) => other.gateway !== gateway);
    const next = link === null || !world.nodes.has(node) ? others : [...others, link];
    if (next.length > 0) world.links.set(node, next);
    else if (world.links.delete(node)) {
      const record = world.nodes.get(node);
      if (record !== undefined) record.lastSeenAtMs = nowMs;
    }
  }
}
