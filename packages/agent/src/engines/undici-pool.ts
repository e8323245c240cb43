/**
 * The parts of undici that an agent uses. The package's own entry also loads fetch, caches, mocks and proxies: a quarter
 * of an idle agent's memory, on machines whose memory is wanted for models.
 */
import { createRequire } from 'node:module';
import type undici from 'undici';

const load = createRequire(import.meta.url);
const { prototype } = load('undici/lib/dispatcher/dispatcher.js') as typeof undici.Dispatcher;
// The entry gives every dispatcher its `request` in the same way.
Object.assign(prototype, load('undici/lib/api/index.js') as object);

export const Pool = load('undici/lib/dispatcher/pool.js') as typeof undici.Pool;
export const Client = load('undici/lib/dispatcher/client.js') as typeof undici.Client;
