/**
 * The places that a request narrows itself to, in the words of a manifest's `location`: ISO 3166 codes and the named domains
 * that are built in, `in` minus `notIn`. A node serves for it only where every place that it may be in by what was measured
 * or attested is inside; one whose place is not known, or whose claim has expired, does not.
 *
 * Lists are compiled once a request, however often it picks, and only for those that name some.
 */
import { AppError } from '@subcloud/contract/errors';
import type { NodeRow } from '@subcloud/contract/table';
import { compilePlaces, isPlace, suggestPlace } from '@subcloud/policy/places';
import * as z from 'zod';

const MAX_NAMES = 64;
const names = z.array(z.string().min(1).max(64)).min(1).max(MAX_NAMES);

export const placesWanted = z
  .strictObject({ in: names.optional(), notIn: names.optional() })
  .refine((lists) => lists.in !== undefined || lists.notIn !== undefined, 'needs `in` or `notIn`');
export type PlacesWanted = z.infer<typeof placesWanted>;

type IsInside = (node: NodeRow, controlNowMs: number) => boolean;

/** By what was read of a request; gone with it. */
const compiledFor = new WeakMap<PlacesWanted, IsInside>();

/** Throws `client.invalid_request` for a name that is no place. */
export function checkPlaces(wanted: PlacesWanted): void {
  for (const list of ['in', 'notIn'] as const) {
    for (const name of wanted[list] ?? []) {
      if (isPlace(name)) continue;
      const near = suggestPlace(name);
      const param = `subcloud.location.${list}`;
      const hint = near === undefined ? '' : ` Did you mean ${near}?`;
      throw new AppError('client.invalid_request', {
        message: `\`${param}\`: ${JSON.stringify(name)} is no country, subdivision or domain that a request can name.${hint}`,
        param,
      });
    }
  }
}

/** Of lists that were checked. */
export function isInside(wanted: PlacesWanted): IsInside {
  const known = compiledFor.get(wanted);
  if (known !== undefined) return known;
  const compiled = compilePlaces(wanted.in, wanted.notIn);
  const made: IsInside = ({ places, placesUntil }, controlNowMs) => {
    if (places === undefined || places.length === 0) return false;
    if (placesUntil !== undefined && placesUntil <= controlNowMs) return false;
    return places.every(({ country, subdivision }) => {
      const place = subdivision === undefined ? { country } : { country, subdivision };
      return compiled.contains(place) === 'yes';
    });
  };
  compiledFor.set(wanted, made);
  return made;
}
