/**
 * What an operator should know of a node's links: another machine with its key, an address that changes, an agent that speaks
 * no version of ours. Kept in memory for a day, bounded; an event in the store says when it began.
 */
import type { LinkRefusal } from '@subcloud/contract/watch';
import { HEARTBEATS_MISSED, HEARTBEAT_MS } from '@subcloud/contract/link';
import type { NewEvent } from '../store/events.ts';
import type { LinkRecord } from '../world/world.ts';

export interface NodeAlerts {
  /** The newest last; one for each reason and address. */
  readonly refused: readonly RefusedLink[];
  /** The newest last. */
  readonly moves: readonly Move[];
  /** By its newest declaration; null: within SKEW_MS. */
  readonly skew: ClockSkew | null;
}
interface ClockSkew {
  /** Of the node's wall clock against control's; below zero: it is behind, or the declaration was that long under way. */
  readonly aheadMs: number;
  readonly atMs: number;
}
interface RefusedLink {
  readonly why: LinkRefusal;
  readonly address: string;
  /** Of a second link: the address of the first. Of a version: what it speaks. */
  readonly says: string;
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}
interface Move {
  readonly from: string;
  readonly to: string;
  readonly atMs: number;
}

const KEPT_MS = 86_400_000;
const MAX_KEPT = 16;
/** What was left behind by an earlier run of the agent is dead by then. */
const LEFT_BEHIND_MS = HEARTBEAT_MS * HEARTBEATS_MISSED;
/** What a declaration takes from a node to control stays far below. */
const SKEW_MS = 30_000;
const NONE: NodeAlerts = { refused: [], moves: [], skew: null };

/** Also whether it is news, which is worth an event. */
export function withRefusedLink(
  alerts: NodeAlerts = NONE,
  { why, address, says }: Pick<RefusedLink, 'why' | 'address' | 'says'>,
  nowMs: number,
): { readonly alerts: NodeAlerts; readonly isNews: boolean } {
  const kept = alerts.refused.filter(({ lastAtMs }) => nowMs - lastAtMs < KEPT_MS);
  const known = kept.find((refused) => refused.why === why && refused.address === address);
  const refused = {
    why,
    address,
    says,
    count: (known?.count ?? 0) + 1,
    firstAtMs: known?.firstAtMs ?? nowMs,
    lastAtMs: nowMs,
  };
  const others = kept.filter((other) => other !== known).slice(1 - MAX_KEPT);
  return { alerts: { ...alerts, refused: [...others, refused] }, isNews: known === undefined };
}

export function withMove(alerts: NodeAlerts = NONE, move: Move): NodeAlerts {
  const kept = alerts.moves.filter(({ atMs }) => move.atMs - atMs < KEPT_MS).slice(1 - MAX_KEPT);
  return { ...alerts, moves: [...kept, move] };
}

/** `issuedAtMs`: when the node says that it made its declaration. */
export function withDeclared(alerts: NodeAlerts = NONE, issuedAtMs: number, nowMs: number): NodeAlerts {
  const aheadMs = issuedAtMs - nowMs;
  return { ...alerts, skew: Math.abs(aheadMs) > SKEW_MS ? { aheadMs, atMs: nowMs } : null };
}

export function refusedEvent(
  node: string,
  gateway: string,
  { why, address, says }: Pick<RefusedLink, 'why' | 'address' | 'says'>,
): NewEvent {
  const reason =
    why === 'version'
      ? `an agent speaks no version in common: ${says}`
      : `a second link with the node's key was refused`;
  return {
    kind: 'node.link_refused',
    node,
    subcloud: null,
    actor: `gateway:${gateway}`,
    reason,
    detail: { why, address },
  };
}

/** As sentences. `links`: those of the node now. */
export function linkWarnings(alerts: NodeAlerts = NONE, links: readonly LinkRecord[], nowMs: number): string[] {
  const refused = alerts.refused.filter(({ lastAtMs }) => nowMs - lastAtMs < KEPT_MS);
  const seconds = refused.filter(({ why }) => why === 'second-link');
  return [
    ...seconds.map(
      ({ address, count, lastAtMs }) =>
        `a second link with this node's key was refused ${times(count)}, last at ${iso(lastAtMs)} from ${address}: the first link stays`,
    ),
    ...clones(seconds),
    ...severalAddresses(links),
    ...moved(alerts, nowMs),
    ...skewed(alerts),
    ...refused
      .filter(({ why }) => why === 'version')
      .map(
        ({ address, says, lastAtMs }) =>
          `an agent at ${address} that names itself this node was refused at ${iso(lastAtMs)}: ${says}`,
      ),
  ];
}

/** Two that live: from two addresses, or for longer than anything that an earlier run left behind. */
function clones(seconds: readonly RefusedLink[]): string[] {
  const isClone = ({ address, says, firstAtMs, lastAtMs }: RefusedLink): boolean =>
    address !== says || lastAtMs - firstAtMs >= LEFT_BEHIND_MS;
  const found = seconds.filter(isClone);
  if (found.length === 0) return [];
  const addresses = [...new Set(found.flatMap(({ address, says }) => [says, address]))].join(' and ');
  return [
    `this node's key is in use on two machines, or twice on one (${addresses}): a data folder was copied; enrol one of them anew from an empty folder`,
  ];
}

function severalAddresses(links: readonly LinkRecord[]): string[] {
  const addresses = [...new Set(links.map(({ address }) => address))];
  if (addresses.length < 2) return [];
  return [
    `links from several addresses at once (${addresses.join(', ')}): the machine has several ways out, or its key is in use on two`,
  ];
}

function moved({ moves }: NodeAlerts, nowMs: number): string[] {
  const recent = moves.filter(({ atMs }) => nowMs - atMs < KEPT_MS);
  const last = recent.at(-1);
  if (last === undefined) return [];
  return [
    `its address changed ${times(recent.length)} in the last 24 h, last at ${iso(last.atMs)} from ${last.from} to ${last.to}: its location was measured anew`,
  ];
}

function skewed({ skew }: NodeAlerts): string[] {
  if (skew === null) return [];
  const seconds = Math.round(Math.abs(skew.aheadMs) / 1_000);
  return [
    `its clock was ${seconds} s ${skew.aheadMs > 0 ? 'ahead of' : 'behind'} the network's when it declared itself at ${iso(skew.atMs)}: set it (NTP); nothing expires by it`,
  ];
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
