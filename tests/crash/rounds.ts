/**
 * `npm run crash -- --rounds 10`: kill -9 of every part under load, one after the other and all at once, so many rounds.
 * What was killed and what was checked a round goes to stderr; the last line, on stdout, is one JSON object.
 */
import { parseArgs } from 'node:util';
import { type Round, killRounds } from './kill-rounds.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } });
const rounds = Number(values.rounds);
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Error('--rounds takes a whole number from 1 on');
const say = (text: string): void => void process.stderr.write(`${text}\n`);

function tell({ round, kills, answers, changes, revocations, ...faults }: Round): void {
  for (const { victims, backMs } of kills)
    say(`round ${round} of ${rounds}: killed ${victims.join(' + ')}; all work went on after ${backMs} ms`);
  const { notCountedOnce, lost, servedAfterRevocation } = faults;
  say(
    `round ${round} of ${rounds}: checked ${answers} answers (${notCountedOnce.length} not counted once), ` +
      `${changes} changes (${lost.length} lost), ${revocations} revocations (${servedAfterRevocation.length} served after)`,
  );
}

try {
  const done = await killRounds(rounds, tell);
  const last = done.at(-1);
  const isWhole =
    last !== undefined &&
    [last.notCountedOnce, last.lost, last.servedAfterRevocation].every((faults) => faults.length === 0);
  const backMs = done.flatMap(({ kills }) => kills.map((kill) => kill.backMs));
  const { answers = 0, changes = 0, revocations = 0 } = last ?? {};
  process.stdout.write(
    `${JSON.stringify({ rounds, kills: backMs.length, answers, changes, revocations, slowestBackMs: Math.max(...backMs), passed: isWhole })}\n`,
  );
  if (!isWhole) process.exitCode = 1;
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.stdout.write(`${JSON.stringify({ rounds, passed: false })}\n`);
  process.exitCode = 1;
}
