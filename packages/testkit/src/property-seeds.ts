/** Seeds of the properties of one test: the same at every run, others for each property and for each base. */
import { createHash } from 'node:crypto';

export interface PropertySeeds {
  /** A whole number of 32 bits, as fast-check takes it. */
  next(): number;
}

/** @param base another one draws anew. @param test its file and name. */
export function propertySeeds(base: string, test: string): PropertySeeds {
  let drawn = 0;
  return {
    next() {
      drawn += 1;
      return createHash('sha256').update(`${base}\n${test}\n${drawn}`).digest().readInt32BE(0);
    },
  };
}
