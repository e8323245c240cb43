import type { NetworkEvent } from '@subcloud/sdk/events';
import { jitteredBackoffMs } from '@subcloud/kit/clock';
import type { Command } from 'commander';
import type { CliHost } from '../cli-host.ts';
import { age } from '../age.ts';
import { type Cli, networkLeaf } from '../command.ts';
import type { Output } from '../output.ts';
import { table } from '../output.ts';

interface Options {
  readonly follow?: boolean;
  readonly subcloud?: string;
  readonly node?: string;
  readonly kind?: string;
  readonly after?: string;
  readonly limit: string;
}

const BACKOFF = { baseMs: 500, capMs: 30_000 } as const;

export function addEvents(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'events', 'what changed, of what you may see')
    .option('-f, --follow', 'go on as it happens; with --json one JSON document a line')
    .option('--subcloud <name>', 'of this Subcloud')
    .option('--node <id>', 'of this node')
    .option('--kind <kinds>', 'of these kinds, for example membership,token.revoked')
    .option('--after <id>', 'with --follow: what came after this event, and nothing before')
    .option('--limit <n>', 'at most so many of before', '50')
    .action(
      cli.clientAction<Options>(async (context) => {
        const { client, output, options, host } = context;
        const given = { subcloud: options.subcloud, node: options.node, kind: options.kind };
        const query = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
        const latest = async (): Promise<NetworkEvent[]> => {
          const { eachItem } = await import('@subcloud/sdk/pages');
          const wanted = Number(options.limit);
          const events: NetworkEvent[] = [];
          if (!(wanted > 0)) return events;
          // A page of somebody who may see little can be shorter than asked for.
          for await (const event of eachItem(client, 'listEvents', { query: { ...query, limit: wanted } }))
            if (events.push(event) >= wanted) break;
          return events.reverse();
        };
        if (options.follow !== true) {
          const nowMs = host.clock.nowMs();
          output.result(await latest(), (events) =>
            table(
              COLUMNS,
              events.map((event) => cells(event, nowMs)),
              'no events',
            ),
          );
          return;
        }
        await followOn(context, given, options.after, latest);
      }),
    );
}

const COLUMNS = ['age', 'kind', 'subcloud', 'node', 'about', 'by', 'reason'];

function cells({ at, kind, subcloud, node, principal, actor, reason }: NetworkEvent, nowMs: number): (string | null)[] {
  return [age(at, nowMs), kind, subcloud, node, principal, actor, reason];
}

function lineOf({ at, kind, subcloud, node, principal, actor, reason }: NetworkEvent): string {
  const about = [subcloud, node, principal].filter((each) => each !== null).join(' ');
  return `${at} ${kind}${about === '' ? '' : ` ${about}`} (${actor === null ? '' : `${actor}: `}${reason})`;
}

/** It follows before it lists, so that nothing falls between; what came both ways is told once. */
async function followOn(
  {
    client,
    output,
    host,
  }: {
    readonly client: Parameters<typeof import('@subcloud/sdk/events').followEvents>[0];
    readonly output: Output;
    readonly host: CliHost;
  },
  given: {
    readonly subcloud: string | undefined;
    readonly node: string | undefined;
    readonly kind: string | undefined;
  },
  after: string | undefined,
  latest: () => Promise<NetworkEvent[]>,
): Promise<void> {
  const { followEvents } = await import('@subcloud/sdk/events');
  const stopping = new AbortController();
  const forget = (['SIGINT', 'SIGTERM'] as const).map((signal) => host.onSignal(signal, () => stopping.abort()));
  const told = new Set<string>();
  let listed: Promise<void> | undefined;
  const tell = (event: NetworkEvent): void => {
    if (told.has(event.id)) return;
    output.result(event, lineOf);
  };
  try {
    const events = followEvents(client, {
      ...given,
      after,
      signal: stopping.signal,
      onFollowing: () => {
        listed ??= (after === undefined ? latest() : Promise.resolve([])).then((before) => {
          for (const event of before) {
            tell(event);
            told.add(event.id);
          }
        });
        // Its failure is thrown where it is waited for.
        listed.catch(() => stopping.abort());
      },
      onBreak: (error) => output.progress(`${error.message}; connecting again`),
      pause: (attempt, signal) => host.clock.sleep(jitteredBackoffMs(attempt, BACKOFF, host.random), signal),
    });
    for await (const event of events) {
      await listed;
      tell(event);
    }
  } catch (error) {
    await listed;
    if (!stopping.signal.aborted) throw error;
  } finally {
    for (const stop of forget) stop();
  }
}
