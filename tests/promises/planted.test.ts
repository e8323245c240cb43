/** The simulation is worth what it finds: each fault that is planted where a promise is kept is found within a few seeds. */
import { expect, it } from 'vitest';
import { PLANTED } from './simulation/plant.ts';
import { Simulation } from './simulation/simulation.ts';

const SEEDS = 25;

it.each(Object.entries(PLANTED))('it is found that %s', { timeout: 300_000 }, async (_name, plant) => {
  const found: unknown[] = [];
  for (let seed = 1; seed <= SEEDS && found.length === 0; seed += 1) {
    const simulation = new Simulation(seed);
    plant(simulation);
    await simulation
      .run(4_000)
      .then(() => simulation.settle())
      .catch((error: unknown) => found.push(error));
  }
  expect(found).toHaveLength(1);
  // What the simulation itself cannot do is no find.
  expect(String(found[0])).not.toContain('the simulated store');
});
