import type { Command } from 'commander';
import type { Clock } from '@subcloud/kit/clock';
import type { Client, OutputFor } from '@subcloud/sdk/client';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { drainText } from '../drain-text.ts';
import { durationSeconds } from '../duration.ts';
import { withdrawalText } from '../withdrawal.ts';

interface Options {
  readonly reason?: string;
  readonly wait?: boolean;
  readonly timeout: string;
}

type Drained = OutputFor<'drainNode'>;

const ASK_EVERY_MS = 500;

export function addNodeDrain(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'drain <node>',
    'take a node out of service: nothing new in any pool, answers in flight finish, memberships stay',
  )
    .option('--reason <text>', 'why, for the log and for whoever may see the node')
    .option('--wait', 'until no gateway has anything in flight there')
    .option('--timeout <duration>', 'how long to wait; the node stays drained all the same', '10m')
    .action(
      cli.clientAction<Options>(async ({ client, output, options, host }, node: string) => {
        const timeoutMs = durationSeconds(options.timeout) * 1_000;
        const { resolveNode } = await import('../resolve-node.ts');
        const id = await resolveNode(client, node);
        const { reason } = options;
        let drained = await client.call('drainNode', {
          params: { id },
          body: reason === undefined ? {} : { reason },
        });
        if (options.wait === true) {
          const told = (text: string): void => output.progress(text);
          drained = await waitUntilDrained(client, drained, { clock: host.clock, timeoutMs, told });
        }
        output.result(drained, ({ draining, withdrawal }) =>
          [
            draining.state === 'drained'
              ? `${id} is out of service, and nothing is in flight there.`
              : withdrawalText(`${id} gets nothing new`, withdrawal),
            ...(draining.state === 'drained' ? [] : [`  ${drainText(draining)}`]),
            `Back into service: \`subcloud node undrain ${node}\``,
          ].join('\n'),
        );
      }),
    );
}

export function addNodeUndrain(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'undrain <node>', 'put a drained node into service again').action(
    cli.clientAction(async ({ client, output }, node: string) => {
      const { resolveNode } = await import('../resolve-node.ts');
      const id = await resolveNode(client, node);
      output.result(await client.call('undrainNode', { params: { id } }), ({ change }) =>
        change === 'undrained' ? `${id} is in service again.` : `${id} was in service.`,
      );
    }),
  );
}

/** Throws CliError where it takes longer, and where somebody puts the node back meanwhile. */
async function waitUntilDrained(
  client: Client,
  drained: Drained,
  { clock, timeoutMs, told }: { clock: Clock; timeoutMs: number; told: (text: string) => void },
): Promise<Drained> {
  const { node } = drained;
  const endMs = clock.monotonicMs() + timeoutMs;
  let { draining } = drained;
  let before = '';
  while (draining.state !== 'drained') {
    const text = drainText(draining);
    if (text !== before) told(`${node}: ${text}`);
    before = text;
    if (clock.monotonicMs() >= endMs)
      throw new CliError({
        code: 'upstream.drain_timeout',
        message: `${node} is not drained yet: ${text}.`,
        next: 'It gets nothing new, and stays so: run the same command again to wait on.',
        details: draining,
      });
    await clock.sleep(ASK_EVERY_MS);
    const found = await client.call('getNode', { params: { id: node } });
    if (found.draining === undefined)
      throw new CliError({
        code: 'client.undrained',
        message: `${node} was put into service again while its answers in flight were waited for.`,
        next: '`subcloud events` says who did.',
      });
    draining = found.draining;
  }
  // What was outstanding has been confirmed since, or its lease has ended.
  return { node, draining, withdrawal: { ...drained.withdrawal, complete: true, outstanding: [] } };
}
