/**
 * What gateways report of nodes, turned into facts: links (liveness and the measured address), declarations (checked
 * against the node's own key, so that a gateway cannot make one up), acknowledgements, alarms. One report is one change,
 * but for the links that a gateway tells all over again after a restart: they count at once, and what follows from them is
 * worked off a slice at a time, so that no changed fact waits behind a whole fleet that says what was known.
 */
import { DECLARATION_VALID_MS } from '@subcloud/contract/documents';
import type { ReportEvent, ReportsRequest } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { openDocument } from '@subcloud/kit/signing';
import type { Claim } from '@subcloud/policy/facts';
import { saveLastUse } from '../access/last-use.ts';
import type { Change, ChangeScope, Loop, Transaction } from '../loop.ts';
import { dueCheck, smallestMaxAgeMs } from '../membership/due.ts';
import { type NewEvent, insertEvents } from '../store/events.ts';
import { noteInFlight } from '../world/drains.ts';
import { factsOf } from '../world/facts-of.ts';
import type { NodeRecord, World } from '../world/world.ts';
import { withAudits } from './audits.ts';
import { type ClaimDraft, oldestMeasuredMs, withClaims } from './claims.ts';
import { declaredClaims } from './declared.ts';
import { type LinkState, applyLinks, linkEvents, wholeLinks } from './link-states.ts';
import type { LocationMeasurer } from './measure-location.ts';
import { nodeAlertsOf } from './note-alerts.ts';
import { slices } from '../slices.ts';
import { type NodeDraft, applyDraft, newDraft, revivedBy, saveDrafts, scopeOfDraft } from './node-draft.ts';

export interface ReportSink {
  /** Resolves when what was said is durable; of many links, when the first of them are and the others are taken. */
  receive(report: ReportsRequest): Promise<void>;
  /** The gateway is gone for longer than a link may be silent: its links are dead. */
  forget(gateway: string): void;
  stop(): void;
}

/** Links of a whole set that are worked off in one turn of the loop. */
const LINKS_PER_TURN = 200;
const RETRY_MS = 1_000;

export interface ReportSinkOptions {
  readonly loop: Loop;
  readonly measurer: () => LocationMeasurer;
  readonly clock: Clock;
  readonly log: Log;
}

export function createReportSink(options: ReportSinkOptions): ReportSink {
  const { loop, clock, log } = options;
  const untold: Untold = new Map();
  let working = false;
  let stopped = false;

  const workOff = (): void => {
    if (working || stopped || untold.size === 0) return;
    working = true;
    const some = [...untold.values()].slice(0, LINKS_PER_TURN);
    loop
      .change(async (tx) => {
        // Asked when the turn has come: a later word about the node may have overtaken this one.
        const links = some.filter((told) => untold.get(told.link.node) === told).map(({ link }) => link);
        const change = await draftChanges(options, tx, { gateway: '', links, events: [] });
        return {
          ...change,
          apply: (world) => {
            change.apply(world);
            planAhead(world, change.quiet, clock.nowMs());
            for (const told of some) if (untold.get(told.link.node) === told) untold.delete(told.link.node);
          },
        };
      })
      .then(
        () => (working = false),
        (error: unknown) => {
          log.error({ err: error, links: untold.size }, 'links could not be taken; it is tried again');
          clock.after(RETRY_MS, () => {
            working = false;
            workOff();
          });
        },
      )
      .finally(workOff);
  };

  return {
    async receive(report) {
      // These change memory alone; the store hears of heartbeats once a minute (see maintenance.ts).
      for (const event of report.events) {
        if (event.type === 'in-flight') noteInFlight(loop.world, report.gateway, event);
        if (event.type !== 'alive') continue;
        const { revived, subclouds } = confirm(loop.world, event.nodes, clock.nowMs());
        loop.touch(revived, { subclouds });
      }
      const events = report.events.filter(({ type }) => type !== 'alive' && type !== 'in-flight');
      if (events.length === 0 && report.links === undefined) return;
      await loop.change((tx) => takeReport(options, untold, tx, { ...report, events }));
      workOff();
    },
    forget(gateway) {
      const { world } = loop;
      const links = wholeLinks(world, gateway, []);
      applyLinks(world, links, clock.nowMs());
      world.unheard.set(gateway, clock.nowMs());
      dropUntold(untold, (told) => told.gateway === gateway);
      planAhead(world, links.changes.keys(), clock.nowMs());
      loop.touch([...links.changes.keys()].filter((node) => isLeaving(world.nodes.get(node))));
    },
    stop() {
      stopped = true;
    },
  };
}

/** By node: links that a gateway told with all others, and that wait for their turn. */
type Untold = Map<string, { readonly gateway: string; readonly link: LinkState }>;

function dropUntold(untold: Untold, drops: (told: { gateway: string; link: LinkState }) => boolean): void {
  for (const [node, told] of untold) if (drops(told)) untold.delete(node);
}

/** Everything that a report says, but for the many links of a whole set: those that are told first alone. */
async function takeReport(
  options: ReportSinkOptions,
  untold: Untold,
  tx: Transaction,
  report: ReportsRequest,
): Promise<Change<undefined>> {
  const { world } = options.loop;
  const { gateway, links = [], events } = report;
  const whole = report.links === undefined ? undefined : wholeLinks(world, gateway, report.links);
  const changes = linkEvents(report);
  const change = await draftChanges(options, tx, { gateway, links: links.slice(0, LINKS_PER_TURN), events });
  const lost = [...(whole?.changes ?? []), ...changes.changes].flatMap(([node, link]) => (link === null ? [node] : []));
  // What waited for the word of this gateway has it now.
  const waited = whole !== undefined && world.unheard.has(gateway) ? world.nodes.keys() : [];
  const leaving = new Set([...lost, ...waited].filter((node) => isLeaving(world.nodes.get(node))));
  return {
    ...change,
    touched: new Set([...change.touched, ...leaving]),
    scope: (node) => (leaving.has(node) ? undefined : change.scope(node)),
    apply: (into) => {
      const nowMs = options.clock.nowMs();
      change.apply(into);
      if (whole !== undefined) {
        applyLinks(into, whole, nowMs);
        into.unheard.delete(gateway);
        dropUntold(untold, (told) => told.gateway === gateway);
        for (const link of links.slice(LINKS_PER_TURN)) untold.set(link.node, { gateway, link });
      }
      applyLinks(into, changes, nowMs);
      for (const node of changes.changes.keys()) untold.delete(node);
      planAhead(into, [...change.quiet, ...lost], nowMs);
    },
  };
}

/** Where absence ends something: nothing is in flight at a node without a link. */
function isLeaving(node: NodeRecord | undefined): boolean {
  return node !== undefined && [...node.memberships.values()].some(({ state }) => state === 'draining');
}

/** Nodes that nothing is decided of, though what time will do to them is another now. */
function planAhead(world: World, nodes: Iterable<string>, nowMs: number): void {
  const { dueMs } = dueCheck(world, nowMs);
  for (const id of nodes) {
    const node = world.nodes.get(id);
    if (node !== undefined) node.dueMs = dueMs(node);
  }
}

interface DraftChange extends Change<undefined> {
  readonly touched: readonly string[];
  readonly scope: (node: string) => ChangeScope | undefined;
  /** Nodes that were spoken of without any news. */
  readonly quiet: readonly string[];
}

async function draftChanges(
  { loop, measurer, clock, log }: ReportSinkOptions,
  tx: Transaction,
  said: { readonly gateway: string; readonly links: readonly LinkState[]; readonly events: readonly ReportEvent[] },
): Promise<DraftChange> {
  const { world } = loop;
  const nowMs = clock.nowMs();
  const drafts = new Map<string, NodeDraft>();
  const alarms: NewEvent[] = [];
  const alerts = nodeAlertsOf(world, said.gateway, alarms, nowMs);
  const draftOf = (id: string): NodeDraft | undefined => {
    const node = world.nodes.get(id);
    if (node === undefined) return undefined;
    const draft = drafts.get(id) ?? newDraft(node);
    drafts.set(id, draft);
    return draft;
  };
  const linked = (link: LinkState): void => {
    const draft = draftOf(link.node);
    if (draft === undefined) return;
    alerts.linkedFrom(draft.node, link.address);
    draft.address = link.address;
    draft.acknowledged = link;
    draft.revived = revivedBy(world, draft.node, nowMs);
    const revoked = world.revokedStatements.get(link.node);
    draft.claims = withClaims(draft.claims, [measuredLocation(measurer(), link.address)], nowMs, revoked);
  };
  for (const link of said.links) linked(link);
  const slice = slices(clock);
  for (const event of said.events) {
    // Each declaration that is news costs the check of a signature.
    if (slice.due()) await slice.pause();
    switch (event.type) {
      case 'linked':
        linked(event);
        break;
      case 'declaration':
        if (isNews(world, event)) declare(draftOf(event.node), event, nowMs, world, log);
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
          { gateway: said.gateway, node: event.node, pool: event.pool, tableVersion: event.tableVersion },
          'an agent refused a pool that the table gives it: agent or gateway is faulty',
        );
        alarms.push(alarmOf(world, said.gateway, event));
        break;
      case 'link-refused':
        alerts.refused(event);
        break;
      case 'used':
        await saveLastUse(tx, event.credentials);
        break;
      case 'unlinked':
      case 'alive':
      case 'in-flight':
        break;
    }
  }
  const all = [...drafts.values()];
  for (const { node, declaration } of all)
    if (declaration !== undefined) alerts.declared(node, declaration.body.issuedAt);
  await saveDrafts(tx, all);
  await insertEvents(tx, alarms, nowMs);
  const scopes = new Map(all.map((draft) => [draft.node.id, scopeOfDraft(draft, nowMs)]));
  return {
    result: undefined,
    apply: () => {
      for (const draft of all) applyDraft(draft, nowMs);
      alerts.apply();
    },
    touched: [...scopes].flatMap(([node, scope]) => (scope === 'none' ? [] : [node])),
    quiet: [...scopes].flatMap(([node, scope]) => (scope === 'none' ? [node] : [])),
    scope: (node) => {
      const scope = scopes.get(node);
      return scope === 'none' ? { facts: new Set() } : scope;
    },
  };
}

function alarmOf(world: World, gateway: string, event: Extract<ReportEvent, { type: 'lock-refusal' }>): NewEvent {
  return {
    kind: 'security.lock_refusal',
    node: event.node,
    subcloud: world.subcloudByName.get(event.pool) ?? null,
    actor: `gateway:${gateway}`,
    reason: 'agent and table disagree',
    detail: { model: event.model, tableVersion: event.tableVersion, requestId: event.requestId },
  };
}

/** A live link confirms what it measures. Returns the nodes of which something had grown too old, and for whom it had. */
function confirm(
  world: World,
  nodes: readonly string[],
  nowMs: number,
): { readonly revived: readonly string[]; readonly subclouds: readonly string[] } {
  const maxAgeMs = smallestMaxAgeMs(world);
  const revived: string[] = [];
  let oldestMs = 0;
  for (const id of nodes) {
    const node = world.nodes.get(id);
    if (node === undefined || !world.links.has(id)) continue;
    const ageMs = oldestMeasuredMs(factsOf(world, node), nowMs);
    oldestMs = Math.max(oldestMs, ageMs);
    if (ageMs > maxAgeMs) revived.push(id);
    node.lastSeenAtMs = nowMs;
    node.confirmedAtMs = nowMs;
  }
  const subclouds = [...world.subclouds.values()].flatMap(({ id, policy }) => (policy.maxAgeMs < oldestMs ? [id] : []));
  return { revived, subclouds: revived.length === 0 ? [] : subclouds };
}

function measuredLocation(measurer: LocationMeasurer, address: string): ClaimDraft<'location'> {
  const { candidates, evidence } = measurer.measure(address);
  return { fact: 'location', value: { candidates, evidence }, source: 'measured', issuer: 'network', expiresAt: null };
}

/**
 * Whether a declaration may say something new. After a restart a whole fleet says what is known, and the serial alone tells:
 * nothing of such a declaration is believed, so its signature need not be checked.
 */
function isNews(world: World, { node, document }: Extract<ReportEvent, { type: 'declaration' }>): boolean {
  const known = world.nodes.get(node)?.declarationSerial;
  if (known === undefined) return false;
  try {
    const { serial } = JSON.parse(document.body) as { readonly serial?: unknown };
    return typeof serial !== 'number' || serial > known;
  } catch {
    return true;
  }
}

function declare(
  draft: NodeDraft | undefined,
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
    const isUnsaid = ({ fact, source }: Claim): boolean =>
      source === 'declared' && unsaid.some((silent) => silent === fact);
    const kept = draft.claims.some(isUnsaid) ? draft.claims.filter((claim) => !isUnsaid(claim)) : draft.claims;
    const said = withClaims(kept, drafts, nowMs, world.revokedStatements.get(node.id));
    draft.claims = withAudits(world.audits, said);
  } catch (error) {
    log.warn({ err: error, node: node.id }, 'a declaration was refused');
  }
}
