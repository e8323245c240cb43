/**
 * The parts of undici that an agent uses. The package's own entry also loads fetch, caches, mocks and proxies: a quarter
 * of an idle agent's memory, on machines whose memory is wanted for models.
 */
import { createRequire } from 'node:module';
import type undici from 'undici';

// Named so that a bundler knows it for what it is, and takes the parts into its file.
const require = createRequire(import.meta.url);
const { prototype } = require('undici/lib/dispatcher/dispatcher.js') as typeof undici.Dispatcher;
// The entry gives every dispatcher its `request` in the same way.
Object.assign(prototype, require('undici/lib/api/index.js') as object);

export const Pool = require('undici/lib/dispatcher/pool.js') as typeof undici.Pool;
export const Client = require('undici/lib/dispatcher/client.js') as typeof undici.Client;
