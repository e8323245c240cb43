/**
 * What a caller asks for beyond the policy, in the body field `subcloud`; taken out before the engine sees the body. It
 * only narrows: nobody serves for it who would not have served without it. Nodes are named as the caller knows them, by
 * the pseudonyms of `x-subcloud-node`.
 */
import { AppError } from '@subcloud/contract/errors';
import type { PoolRow } from '@subcloud/contract/table';
import * as z from 'zod';
import type { PickView } from '../schedule/filter.ts';
import { checkPlaces, isInside, placesWanted } from './place-preference.ts';
import { pseudonymOf } from './pseudonym.ts';

const MAX_PREFERENCES_BYTES = 8_192;
const nodes = z.array(z.string().min(1).max(64)).min(1).max(64);

const preferences = z.strictObject({
  only: nodes.optional(),
  ignore: nodes.optional(),
  /** Where a node must be by what was measured or attested. */
  location: placesWanted.optional(),
  /** The best of all by this, and not the better of two. */
  sort: z.enum(['latency', 'load']).optional(),
  /** By what this gateway saw of them; a node that has answered nothing yet may be that fast. */
  maxTtftMs: z.number().positive().max(600_000).optional(),
});
export type Preferences = z.infer<typeof preferences>;

/** `json`: the field's value. Throws `client.invalid_request` with the path of what is wrong. */
export function readPreferences(json: Buffer): Preferences {
  const wrong = (message: string, param = 'subcloud'): AppError =>
    new AppError('client.invalid_request', { message, param });
  if (json.byteLength > MAX_PREFERENCES_BYTES) throw wrong('`subcloud` is too long.');
  const parsed = preferences.safeParse(JSON.parse(json.toString('utf8')));
  if (parsed.success) {
    if (parsed.data.location !== undefined) checkPlaces(parsed.data.location);
    return parsed.data;
  }
  const [issue] = parsed.error.issues;
  const at = ['subcloud', ...(issue?.path ?? [])].join('.');
  throw wrong(`\`${at}\`: ${issue?.message ?? 'has another form'}.`, at);
}

/** Undefined where nobody is kept out. */
export function unwantedBy(
  { only, ignore, location, maxTtftMs }: Preferences,
  pool: PoolRow,
  { model, nowMs, controlNowMs }: { readonly model: string; readonly nowMs: number; readonly controlNowMs: number },
): PickView['unwanted'] {
  if (only === undefined && ignore === undefined && location === undefined && maxTtftMs === undefined) return undefined;
  const inside = location === undefined ? undefined : isInside(location);
  return (member, link, node) => {
    const name = only === undefined && ignore === undefined ? '' : pseudonymOf(pool, member);
    if (only?.includes(name) === false || ignore?.includes(name) === true) return 'preferences';
    if (inside?.(node, controlNowMs) === false) return 'preferences.location';
    const isTooSlow = maxTtftMs !== undefined && (link.stats.of(model).latency(true).at(nowMs) ?? 0) > maxTtftMs;
    return isTooSlow ? 'preferences' : undefined;
  };
}
