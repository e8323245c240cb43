/**
 * Which of several control replicas on one database leads. The leader renews its term in the store; a standby takes over
 * when the leader has given up, is known to be gone (same machine, no such process any more), or has not renewed for
 * `LEADER_TERM_MS`. Every take-over raises the fencing number, so that whatever the old leader still has under way is
 * refused by the store (fenced-dialect.ts); and because the old one stops granting leases and publishing by its own
 * monotonic clock before a standby may take over, a leader that was stopped for a while knows it before it does anything.
 * Nothing here decides who may be right: two replicas that both believe to lead are told apart by the store alone.
 */
import type { Clock } from '@subcloud/kit/clock';
import type { Log } from '@subcloud/kit/log';
import { startMarkOf } from '@subcloud/kit/postgres/process-sight';
import pg from 'pg';

/** A leader that has not renewed for so long, by the clock of the database, may be replaced. */
export const LEADER_TERM_MS = 10_000;
const RENEW_MS = 2_000;
/** Between what the leader believes and what a standby may do; its clock may run this much slower in a term. */
const SAFETY_MS = 1_000;
const POLL_MS = 1_000;
const STATEMENT_TIMEOUT_MS = 5_000;
// None of the other locks (7_700_001 migrations, 7700002 the audit log's end, 7700004 the event log's): every transaction holds this one shared, and two
// that then want to write to a log under the same number would wait for each other.
const LOCK = 7_700_003;
const CHANNEL = 'subcloud_leader';
const NOW = '(extract(epoch from clock_timestamp()) * 1000)::bigint';

export interface Leadership {
  /** The fencing number of this term. */
  readonly fence: number;
  /** Whether this replica may still publish, grant leases and answer. Synchronous, and asked at the moment of doing it. */
  readonly held: () => boolean;
  /** Resolves when the term is over because another one leads. Never rejects. */
  readonly lost: Promise<void>;
  /** Somebody has seen in the store that another one leads. */
  readonly revoke: () => void;
  /** Gives the lead up, so that a standby need not wait. */
  release(): Promise<void>;
}

export interface LeadershipOptions {
  readonly databaseUrl: string;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'every' | 'sleep'>;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Called once if another replica leads: this one stands by. */
  readonly onStandby: () => Promise<void>;
}

/** Waits until this replica leads; rejects when `signal` aborts. */
export async function lead(options: LeadershipOptions): Promise<Leadership> {
  const { clock, log, signal } = options;
  const mark = `${process.pid} ${(await startMarkOf(process.pid)) ?? 'unknown'}`;
  let isStandby = false;
  for (;;) {
    signal.throwIfAborted();
    const sentAt = { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
    const fence = await tryToLead(options.databaseUrl, mark).catch((error: unknown) => {
      log.warn({ err: error }, 'the database does not say which control replica leads; it is asked again');
      return undefined;
    });
    if (fence !== undefined) {
      log.info({ fence }, 'this control replica leads');
      return holdLead(options, termOf(options.databaseUrl, fence, sentAt));
    }
    if (!isStandby) {
      isStandby = true;
      log.info({}, 'another control replica leads; this one stands by');
      await options.onStandby();
    }
    await wakeUp(options);
  }
}

/** The fence of a new term, or undefined while another replica leads. */
async function tryToLead(databaseUrl: string, mark: string): Promise<number | undefined> {
  return connected(databaseUrl, async (client) => {
    const look = async (): Promise<boolean> => {
      const { rows } = await client.query<{ holder: string; age: string }>(
        `select holder, ${NOW} - renewed_at as age from leader`,
      );
      const [row] = rows;
      if (row === undefined) throw new Error('the table leader is empty');
      return row.holder === '' || Number(row.age) >= LEADER_TERM_MS || (await isGone(row.holder));
    };
    // Without the lock first: who only looks must not hold up the leader's transactions.
    if (!(await look())) return undefined;
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [LOCK]);
    if (!(await look())) {
      await client.query('rollback');
      return undefined;
    }
    const { rows } = await client.query<{ fence: string }>(
      `update leader set fence = fence + 1, holder = $1, renewed_at = ${NOW} returning fence`,
      [mark],
    );
    await client.query(`select pg_notify('${CHANNEL}', 'taken')`);
    await client.query('commit');
    return Number(rows[0]?.fence);
  });
}

/** Of another machine nothing is known; of this one, a process of that pid and start either is there or is not. */
async function isGone(holder: string): Promise<boolean> {
  const [pid = '', mark = ''] = holder.split(' ');
  const boot = (await startMarkOf(process.pid))?.split('/')[0];
  if (boot === undefined || mark.split('/')[0] !== boot) return false;
  return (await startMarkOf(Number(pid))) !== mark;
}

/** One term, as the store keeps it. */
export interface LeaderTerm {
  readonly fence: number;
  /** When it was asked for: the answer may have come to a machine that was suspended meanwhile. */
  readonly sentAt: { readonly monotonicMs: number; readonly wallMs: number };
  /** False: another one leads. Rejects where the store does not say. */
  readonly renew: () => Promise<boolean>;
  readonly giveUp: () => Promise<void>;
}

function termOf(databaseUrl: string, fence: number, sentAt: LeaderTerm['sentAt']): LeaderTerm {
  return {
    fence,
    sentAt,
    renew: async () => {
      const { rowCount } = await connected(databaseUrl, (client) =>
        client.query(`update leader set renewed_at = ${NOW} where fence = $1`, [fence]),
      );
      return rowCount === 1;
    },
    giveUp: () =>
      connected(databaseUrl, async (client) => {
        await client.query(`update leader set holder = '' where fence = $1`, [fence]);
        await client.query(`select pg_notify('${CHANNEL}', 'released')`);
      }),
  };
}

/** Renews a term until it is over, and knows by its own clocks whether it still may be. */
export function holdLead(
  { clock, log }: Pick<LeadershipOptions, 'log'> & { readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'every'> },
  term: LeaderTerm,
): Leadership {
  const { fence } = term;
  let heldUntilMs = term.sentAt.monotonicMs + LEADER_TERM_MS - SAFETY_MS;
  // A suspended machine's monotonic clock may have stood still; the wall clock has not.
  let wallMs = term.sentAt.wallMs;
  let isOver = false;
  let tellLost: () => void = () => undefined;
  const lost = new Promise<void>((resolve) => {
    tellLost = resolve;
  });
  const revoke = (): void => {
    if (isOver) return;
    isOver = true;
    timer.cancel();
    tellLost();
  };
  let renewing = false;
  const renew = async (): Promise<void> => {
    if (renewing || isOver) return;
    renewing = true;
    const beforeMs = clock.monotonicMs();
    const beforeWallMs = clock.nowMs();
    try {
      if (await term.renew()) {
        heldUntilMs = Math.max(heldUntilMs, beforeMs + LEADER_TERM_MS - SAFETY_MS);
        wallMs = beforeWallMs;
      } else {
        log.warn({ fence }, 'another control replica leads now');
        revoke();
      }
    } catch (error) {
      log.warn({ err: error }, 'the lead could not be renewed; it is tried again');
    } finally {
      renewing = false;
    }
  };
  const timer = clock.every(RENEW_MS, () => void renew());
  return {
    fence,
    lost,
    revoke,
    held: () => !isOver && clock.monotonicMs() < heldUntilMs && clock.nowMs() - wallMs < LEADER_TERM_MS - SAFETY_MS,
    async release() {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      await term
        .giveUp()
        .catch((error: unknown) => log.warn({ err: error }, 'the lead could not be given up; a standby waits for it'));
    },
  };
}

/** Until somebody gives the lead up, or for the time of a poll. */
async function wakeUp({ databaseUrl, clock, signal }: LeadershipOptions): Promise<void> {
  await connected(databaseUrl, async (client) => {
    const told = new Promise<void>((resolve) => {
      client.on('notification', () => resolve());
      client.on('error', () => resolve());
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await client.query(`listen ${CHANNEL}`);
    await Promise.race([told, clock.sleep(POLL_MS)]);
  }).catch(() => clock.sleep(POLL_MS));
}

async function connected<Result>(databaseUrl: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: STATEMENT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
