/**
 * The gate draws the same every time: each property gets a seed from its file, its name and how many it has had, so that a
 * change is judged by what it changed. `npm run properties` draws others; `SUBCLOUD_PROPERTY_SEED=N` draws as its round N did.
 */
import fc from 'fast-check';
import { beforeEach } from 'vitest';
import { propertySeeds } from './property-seeds.ts';

const BASE = process.env['SUBCLOUD_PROPERTY_SEED'] ?? '0';

beforeEach(({ task }) => {
  const seeds = propertySeeds(BASE, `${task.file.name} ${task.name}`);
  // Read once for each property that gives no seed of its own.
  fc.configureGlobal({
    get seed() {
      return seeds.next();
    },
  });
});
