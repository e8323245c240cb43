/**
 * How two releases find a version that both speak. Each protocol between parts (link, watch, table) has whole versions. Whoever
 * dials says the oldest and the newest that it speaks, and the other takes the highest that both have, and answers in that
 * one's shapes alone: within a version shapes are strict. Where there is none it refuses by name, with whose turn it is.
 *
 * No version says more than it says on the wire: what a later one adds is not sent to a peer that took an earlier one, and a
 * peer that sends it all the same is not believed.
 */
export interface VersionRange {
  readonly oldest: number;
  readonly newest: number;
}

export interface Speaker {
  /** As in a sentence: `the agent`, `this gateway`. */
  readonly name: string;
  readonly range: VersionRange;
}

export interface VersionFault {
  /** For people: both ranges, and which side to upgrade. */
  readonly message: string;
  readonly details: {
    readonly protocol: string;
    readonly peer: VersionRange;
    readonly own: VersionRange;
    readonly upgrade: string;
  };
}

/** Undefined where there is none. */
export function commonVersion(one: VersionRange, other: VersionRange): number | undefined {
  const newest = Math.min(one.newest, other.newest);
  return newest >= Math.max(one.oldest, other.oldest) ? newest : undefined;
}

/** What a peer says of itself: without its oldest it speaks one version alone. Undefined: it says nothing that can be read. */
export function versionRange(newest: unknown, oldest: unknown): VersionRange | undefined {
  const to = wholeNumber(newest);
  const from = oldest === undefined || oldest === null ? to : wholeNumber(oldest);
  return to === undefined || from === undefined || from > to ? undefined : { oldest: from, newest: to };
}

/** Of two that have none in common, the one whose newest is the lower is to be upgraded. */
export function versionFault(protocol: string, peer: Speaker, own: Speaker): VersionFault {
  const upgrade = peer.range.newest < own.range.newest ? peer.name : own.name;
  return {
    message: `${peer.name} speaks ${protocol} ${words(peer.range)}, ${own.name} ${words(own.range)}: upgrade ${upgrade}`,
    details: { protocol, peer: peer.range, own: own.range, upgrade },
  };
}

function words({ oldest, newest }: VersionRange): string {
  return oldest === newest ? String(newest) : `${oldest} to ${newest}`;
}

const MAX_VERSION = 1_000_000;

function wholeNumber(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d{1,7}$/.test(value)) return undefined;
  const number = Number(value);
  return number <= MAX_VERSION ? number : undefined;
}
