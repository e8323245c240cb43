/**
 * What gateways report of nodes, turned into facts: links (liveness and the measured address), declarations (checked
 * against the node's own key, so that a gateway cannot make one up), acknowledgements, alarms. One report is one change.
 */
import { DECLARATION_VALID_MS, type NodeDeclaration } from '@subcloud/contract/documents';
import type { ReportEvent, ReportsRequest } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { openDocument } from '@subcloud/kit/signing';
import type { Claim } from '@subcloud/policy/facts';
import type { Change, Loop, Transaction } from '../loop.ts';
import { type NewEvent, insertEvents } from '../store/events.ts';
import type { LinkRecord, NodeRecord, World } from '../world/world.ts';
import { type ClaimDraft, confirmMeasured, saveClaims, withClaims } from './claims.ts';
import type { LocationMeasurer } from './measure-location.ts';

export interface ReportSink {
  receive(report: ReportsRequest): Promise<void>;
  /** The gateway is gone for longer than a link may be silent: its links are dead. */
  forget(gateway: string): void;
}

interface Draft {
  node: NodeRecord;
  claims: Claim[];
  declaration: NodeDeclaration | undefined;
  address: string | undefined;
  acknowledged: { epoch: number; serial: number } | undefined;
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
        };
        drafts.set(id, draft);
        return draft;
      };
      const linked = (link: { node: string; address: string; epoch: number; serial: number }): void => {
        const draft = draftOf(link.node);
        if (draft === undefined) return;
        draft.address = link.address;
        draft.acknowledged = link;
        draft.claims = withClaims(draft.claims, [measuredLocation(measurer(), link.address)], nowMs);
      };
      for (const link of report.links ?? []) linked(link);
      for (const event of report.events) {
        switch (event.type) {
          case 'linked':
            linked(event);
            break;
          case 'declaration':
            declare(draftOf(event.node), event, nowMs, world.networkId, log);
            break;
          case 'document-acknowledged': {
            const draft = draftOf(event.node);
            if (draft !== undefined) draft.acknowledged = event;
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
      for (const draft of drafts.values()) await save(tx, draft, nowMs);
      await insertEvents(tx, alarms, nowMs);
      return {
        result: undefined,
        apply: () => {
          for (const draft of drafts.values()) applyDraft(draft, nowMs);
          applyLinks(world, links, nowMs);
        },
        touched: [...drafts.keys()],
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
  networkId: string,
  log: Log,
): void {
  if (draft === undefined) return;
  const { node } = draft;
  try {
    const body = openDocument(event.document, 'declaration', node.publicKey);
    if (body.nodeId !== node.id || body.networkId !== networkId)
      throw new Error('it speaks of another node or network');
    if (body.serial <= (draft.declaration?.serial ?? node.declarationSerial)) return;
    draft.declaration = body;
    const expiresAt = nowMs + DECLARATION_VALID_MS;
    const declared = { source: 'declared', issuer: `node:${node.id}`, expiresAt } as const;
    const { location } = body;
    const drafts: ClaimDraft[] = [
      { fact: 'models', value: [...new Set(body.models)].sort(), ...declared },
      { fact: 'labels', value: body.labels, ...declared },
    ];
    if (location !== null) {
      const place = {
        country: location.country,
        ...(location.subdivision === undefined ? {} : { subdivision: location.subdivision }),
      };
      drafts.push({ fact: 'location', value: { candidates: [place], evidence: 'agent.yaml' }, ...declared });
    }
    const kept =
      location === null
        ? draft.claims.filter(({ fact, source }) => !(fact === 'location' && source === 'declared'))
        : draft.claims;
    draft.claims = withClaims(kept, drafts, nowMs);
  } catch (error) {
    log.warn({ err: error, node: node.id }, 'a declaration was refused');
  }
}

async function save(tx: Transaction, draft: Draft, nowMs: number): Promise<void> {
  const { node, declaration, address } = draft;
  await tx
    .updateTable('nodes')
    .set({
      last_seen_at: nowMs,
      ...(address === undefined ? {} : { address }),
      ...(declaration === undefined
        ? {}
        : {
            declaration_serial: declaration.serial,
            consent: JSON.stringify(declaration.consent),
            concurrency: declaration.concurrency,
            agent_version: declaration.agentVersion,
          }),
    })
    .where('id', '=', node.id)
    .execute();
  const changed = draft.claims.filter((claim) => !node.claims.includes(claim));
  const gone = node.claims.filter(({ id }) => !draft.claims.some((claim) => claim.id === id)).map(({ id }) => id);
  if (gone.length > 0) await tx.deleteFrom('claims').where('id', 'in', gone).execute();
  await saveClaims(tx, node.id, changed);
  if (acknowledges(draft)) {
    const agreed = JSON.stringify(Object.fromEntries(node.document?.content ?? []));
    await tx
      .updateTable('node_documents')
      .set({ acknowledged: true, agreed })
      .where('node_id', '=', node.id)
      .where('serial', '=', node.document?.serial ?? 0)
      .execute();
  }
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
  node.claims = draft.claims;
  node.lastSeenAtMs = nowMs;
  if (address !== undefined) node.address = address;
  if (declaration === undefined) return;
  node.declarationSerial = declaration.serial;
  node.consent = declaration.consent;
  node.concurrency = declaration.concurrency;
  node.agentVersion = declaration.agentVersion;
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
