import { fileURLToPath } from 'node:url';
import { ensureDemoEngine } from '../demo/install-demo-engine.ts';

const STEPS = 5;

/** Where the demo's engine is; installs it first, with progress. Throws CliError where that cannot be done. */
export async function findDemoEngine(options: {
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}): Promise<string> {
  const folder = fileURLToPath(new URL('../../../../demo-engine', import.meta.url));
  await ensureDemoEngine({ folder, signal: options.signal, onProgress: progressLines(options.tell) });
  return fileURLToPath(new URL('../../../../demo-engine/src/main.ts', import.meta.url));
}

/** A line where the message changes, and at each fifth of the work: a log that keeps them stays readable. */
export function progressLines(tell: (line: string) => void): (message: string, fraction: number | undefined) => void {
  let told = '';
  return (message, fraction) => {
    const step = Math.floor((fraction ?? 0) * STEPS);
    const line = step === 0 || step === STEPS ? message : `${message}: ${(step * 100) / STEPS} %`;
    if (line === told) return;
    told = line;
    tell(line);
  };
}
