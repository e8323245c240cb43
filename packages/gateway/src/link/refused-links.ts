/**
 * Tells control of links that were refused and that somebody should know of, seldom enough: whoever dials in the name of a
 * node, as often as it likes, makes one report in REPEAT_MS.
 */
import { constants } from 'node:http2';
import type { ErrorCodeName } from '@subcloud/contract/errors';
import type { LinkRefusal, ReportEvent } from '@subcloud/contract/watch';
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import type { RoutingTable } from '../table/routing-table.ts';
import type { LinkHub } from './link-hub.ts';
import type { UpgradedSocket } from './upgrade.ts';

const REPEAT_MS = 10_000;
const MAX_REMEMBERED = 4_096;

export interface RefusedLink {
  readonly node: string;
  readonly why: LinkRefusal;
  readonly address: string;
  readonly says: string;
}

export interface RefusedLinks {
  tell(refused: RefusedLink): void;
  /** Of who has proved nothing: told of a node that is away alone, so that nobody can have it said of one that is linked. */
  readonly unproved: (refused: RefusedLink) => void;
}

export function refusedLinks({
  clock,
  log,
  report,
  present,
}: {
  readonly clock: Clock;
  readonly log: Log;
  readonly report: (event: ReportEvent) => void;
  readonly present: { readonly table: () => RoutingTable; readonly links: () => Pick<LinkHub, 'get'> };
}): RefusedLinks {
  /** By node and reason, the oldest first: when it was told last, monotonic. */
  const told = new Map<string, number>();
  const tell: RefusedLinks['tell'] = ({ node, why, address, says }) => {
    const key = `${why} ${node}`;
    const nowMs = clock.monotonicMs();
    if (nowMs - (told.get(key) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
    told.delete(key);
    const [oldest] = told.keys();
    if (told.size >= MAX_REMEMBERED && oldest !== undefined) told.delete(oldest);
    told.set(key, nowMs);
    const text = says.slice(0, 256);
    if (why === 'version') log.warn({ node, address, why: text }, 'a link was refused: no version in common');
    else log.warn({ node, address, first: text }, 'a second link with a live key was refused: the first stays');
    report({ type: 'link-refused', node, why, address: address.slice(0, 64), says: text });
  };
  const unproved: RefusedLinks['unproved'] = (link) => {
    if (present.table().nodes.get(link.node) !== undefined && present.links().get(link.node) === undefined) tell(link);
  };
  return { tell, unproved };
}

/** The code travels in the GOAWAY, so that the agent can say why. */
export function refuse({ session }: UpgradedSocket, code: ErrorCodeName): void {
  if (session.destroyed) return;
  session.goaway(constants.NGHTTP2_NO_ERROR, 0, Buffer.from(code));
  session.destroy();
}
