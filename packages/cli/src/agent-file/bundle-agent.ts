/**
 * Makes the one file that a machine needs to join: the agent with all that it imports, for any Node from 22 on. Made
 * from the sources that run here, so it is of the same release as the network that hands it out; the same sources give
 * the same bytes, whichever machine bundles them.
 */
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { writeFileDurably } from '@subcloud/kit/files';
import { CliError } from '../cli-error.ts';

const OLDEST_NODE = 22;
/**
 * The memory of a node is wanted for models: the young generation stays small, and code is kept compact. Measured at a
 * linked agent that has served a request: 96 MB instead of 102 MB resident, half of it the pages of Node itself.
 */
const SMALL_HEAP = `import { setFlagsFromString } from 'node:v8'; setFlagsFromString('--optimize-for-size'); setFlagsFromString('--semi-space-growth-factor=1');`;
/** Runs before anything else of the file: an old Node would only name a line that it cannot read. */
const NODE_CHECK = `if (Number(process.versions.node.split('.')[0]) < ${OLDEST_NODE}) { process.stderr.write('error: the agent needs Node ${OLDEST_NODE} or newer, and this is Node ' + process.versions.node + '.\\n'); process.exit(1); }`;

export interface AgentBundle {
  readonly file: string;
  /** Hex. */
  readonly sha256: string;
}

/** Writes the bundle to `file`, whole or not at all. Throws CliError where the bundler or the disk does. */
export async function bundleAgent(file: string): Promise<AgentBundle> {
  try {
    const { rolldown } = await import('rolldown');
    const build = await rolldown({
      input: fileURLToPath(new URL('./main.ts', import.meta.url)),
      platform: 'node',
      // What even an old Node can parse: else it would fail before it can be told why.
      transform: { target: 'node20' },
      // Warnings are about packages of others.
      logLevel: 'silent',
      plugins: [{ name: 'parts-loaded-late', transform: withRequireOfTheBundle }],
    });
    const { output } = await build.generate({
      format: 'esm',
      codeSplitting: false,
      minify: true,
      postBanner: `#!/usr/bin/env node\n${NODE_CHECK}\n${SMALL_HEAP}`,
    });
    await build.close();
    writeFileDurably(file, output[0].code);
    return { file, sha256: createHash('sha256').update(output[0].code).digest('hex') };
  } catch (error) {
    throw new CliError({
      code: 'platform.agent_bundle',
      message: `The agent's file could not be made: ${error instanceof Error ? error.message : String(error)}`,
      next: 'Check the disk and `npm ci`; machines can still join from a clone of this project.',
      cause: error,
    });
  }
}

/** Where a source loads parts of a package by a `require` of its own, the bundler's takes its place, so that they are in the file. */
function withRequireOfTheBundle(code: string): string | undefined {
  const own = 'const require = createRequire(import.meta.url);';
  return code.includes(own) ? code.replace(own, '') : undefined;
}
