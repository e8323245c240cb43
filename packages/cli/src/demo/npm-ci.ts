import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '@subcloud/kit/clock';
import { isErrorCode } from '@subcloud/kit/postgres/error-code';
import { CliError } from '../cli-error.ts';

export interface NpmLimits {
  /** Until the registry has answered once. A network that swallows packets gives no error. */
  readonly firstAnswerMs: number;
  readonly wholeMs: number;
}

export interface NpmCiQuestion {
  readonly folder: string;
  readonly expectedPackages: number;
  /** Called with 0..1, never less than before. */
  readonly onFraction: (fraction: number) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly extraArguments: readonly string[];
  readonly limits?: NpmLimits;
}

const defaultLimits: NpmLimits = { firstAnswerMs: 15_000, wholeMs: 5 * 60_000 };
const maxErrorLines = 40;
/** Unpacking comes after the last answer, and npm does not tell how far it is. */
const fractionWhenFetched = 0.9;

/**
 * Runs `npm ci` in a folder, without optional packages and without install scripts: node-llama-cpp's would compile llama.cpp for minutes.
 *
 * @throws CliError; what is in the folder then is of no use
 */
export async function runNpmCi(question: NpmCiQuestion): Promise<void> {
  question.signal.throwIfAborted();
  const { clock, limits = defaultLimits } = question;
  const child = spawn(
    'npm',
    [
      'ci',
      '--omit=optional',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      // A line for each answer of the registry: the progress.
      '--loglevel=http',
      '--fetch-retries=1',
      '--fetch-retry-mintimeout=500',
      '--fetch-retry-maxtimeout=1000',
      ...question.extraArguments,
    ],
    { cwd: question.folder, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let stoppedBy: 'caller' | 'no answer' | 'too slow' | undefined;
  const stop = (reason: NonNullable<typeof stoppedBy>) => {
    stoppedBy ??= reason;
    child.kill('SIGKILL'); // it works in a folder that is thrown away
  };
  const callOff = () => stop('caller');
  question.signal.addEventListener('abort', callOff, { once: true });
  const firstAnswer = clock.after(limits.firstAnswerMs, () => stop('no answer'));
  const whole = clock.after(limits.wholeMs, () => stop('too slow'));

  const errorLines: string[] = [];
  let answers = 0;
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (isAnswer(line)) {
      answers += 1;
      firstAnswer.cancel();
      // Two answers a package: where it is, and the package.
      const fetched = Math.min(1, answers / (2 * question.expectedPackages));
      question.onFraction(fetched * fractionWhenFetched);
    } else if (line.startsWith('npm error') && errorLines.length < maxErrorLines) errorLines.push(line);
  });
  const end = await new Promise<{ code: number | null } | { error: Error }>((resolve) => {
    child.once('error', (error) => resolve({ error }));
    child.once('close', (code) => resolve({ code }));
  });
  firstAnswer.cancel();
  whole.cancel();
  question.signal.removeEventListener('abort', callOff);

  if (stoppedBy === 'caller') throw aborted();
  if (stoppedBy === 'no answer') throw unreachable(`it gave no answer within ${limits.firstAnswerMs / 1_000} s`);
  if (stoppedBy === 'too slow') throw unreachable(`the download was not complete after ${limits.wholeMs / 1_000} s`);
  if ('error' in end) throw npmFailed(end.error);
  if (end.code !== 0) throw explain(errorLines);
}

/** `npm http fetch GET 200 …`, or the same from npm's cache. */
function isAnswer(line: string): boolean {
  return /^npm http (fetch GET [23]\d\d|cache) /.test(line);
}

const unreachableCodes = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_SOCKET_TIMEOUT',
  'FETCH_ERROR',
  'ENOTCACHED',
  'E401',
  'E403',
  'E407',
  'E429',
  'E500',
  'E502',
  'E503',
  'E504',
]);

/** npm's last words, as what they mean for a start. Its lines name registries and folders, and are kept out of the message. */
function explain(errorLines: readonly string[]): CliError {
  const npmCode = errorLines.map((line) => /^npm error code (\S+)/.exec(line)?.[1]).find((code) => code !== undefined);
  const cause = new Error(errorLines.join('\n'));
  if (npmCode !== undefined && unreachableCodes.has(npmCode)) return unreachable(npmCode, cause);
  if (npmCode === 'E404' || npmCode === 'ETARGET' || npmCode === 'EINTEGRITY') {
    return new CliError({
      code: 'upstream.package_not_served',
      message: `The npm registry does not serve a package of the demo engine as its lock file names it (${npmCode}).`,
      next: 'Use a registry that serves it, or join a machine with an engine of its own.',
      cause,
    });
  }
  if (npmCode === 'ENOSPC' || npmCode === 'EDQUOT') {
    return new CliError({
      code: 'config.disk_full',
      message: 'The demo engine cannot be installed: the disk is full.',
      next: 'Make room for 200 MB, or start with --no-demo.',
      cause,
    });
  }
  return npmFailed(cause, npmCode);
}

function unreachable(why: string, cause?: unknown): CliError {
  return new CliError({
    code: 'upstream.registry_unreachable',
    message: `The npm registry cannot be reached (${why}), and the demo engine is not installed yet.`,
    next: 'Start again when it can, or join a machine with an engine of its own.',
    cause,
  });
}

function aborted(): CliError {
  return new CliError({ code: 'client.aborted', message: 'The install of the demo engine was called off.' });
}

function npmFailed(cause: Error, npmCode?: string): CliError {
  if (isErrorCode(cause, 'ENOENT')) {
    return new CliError({
      code: 'config.npm_missing',
      message: 'The demo engine cannot be installed: there is no npm on the PATH.',
      next: 'Install npm (it comes with Node), or start with --no-demo.',
      cause,
    });
  }
  return new CliError({
    code: 'platform.demo_install',
    message: `npm could not install the demo engine${npmCode === undefined ? '' : ` (${npmCode})`}.`,
    next: 'Run `npm ci --omit=optional --ignore-scripts` in its folder to see why, or start with --no-demo.',
    cause,
  });
}
