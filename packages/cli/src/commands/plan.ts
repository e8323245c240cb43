import type { Command } from 'commander';
import type { OutputFor } from '@subcloud/sdk/client';
import { type Cli, type ClientContext, networkLeaf } from '../command.ts';
import { CliError } from '../cli-error.ts';
import { table } from '../output.ts';

interface PlanFlags {
  readonly file?: readonly string[];
  readonly delete?: string;
  readonly whatIf?: string;
  readonly facts?: string;
}

/** Exit code where something would change. */
const CHANGES = 2;

export function addPlan(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'plan',
    'what an apply would change, before anything changes (exit code 0: nothing, 2: changes, 1: error)',
  )
    .option('-f, --file <file...>', 'manifests in YAML or JSON, several documents allowed; - reads stdin')
    .option('--delete <name>', 'what deleting this Subcloud would change')
    .option('--what-if <node>', 'what would be decided of a node if it had other facts')
    .option('--facts <file>', 'the facts supposed, written as in tests of manifests; - reads stdin')
    .action(
      cli.clientAction<PlanFlags>(async (context) => {
        const { file, delete: deleted, whatIf, facts } = context.options;
        if ([file, deleted, whatIf].filter((flag) => flag !== undefined).length !== 1) throw usage();
        if ((whatIf === undefined) !== (facts === undefined)) throw usage();
        if (whatIf !== undefined && facts !== undefined) return suppose(context, cli, whatIf, facts);
        return planAll(context, cli, file ?? [], deleted);
      }),
    );
}

async function planAll(
  { client, local, output, host }: ClientContext,
  cli: Cli,
  files: readonly string[],
  deleted: string | undefined,
): Promise<void> {
  const { planManifests } = await import('../plan-manifests.ts');
  const { changesAnything, planText } = await import('../plan-text.ts');
  const plans =
    deleted === undefined
      ? await planManifests({ client, ownerless: local?.asPrincipal ?? client }, files, host.stdin)
      : [await client.call('planSubcloud', { params: { name: deleted }, body: { manifest: null } })];
  output.result({ plans }, () => plans.map(planText).join('\n\n'));
  if (plans.some(({ failingTests }) => failingTests.length > 0)) {
    // The plan is told all the same: it shows what the tests are there to keep from happening.
    cli.failed = true;
    output.progress('error: tests of the manifest do not hold, so it cannot be applied.');
  } else if (plans.some(changesAnything)) cli.exitCode = CHANGES;
}

async function suppose({ client, output, host }: ClientContext, cli: Cli, node: string, file: string): Promise<void> {
  const { resolveNode } = await import('../resolve-node.ts');
  const { readFacts } = await import('../read-facts.ts');
  const facts = await readFacts(file, host.stdin);
  const id = await resolveNode(client, node);
  const found = await client.call('whatIf', { params: { id }, body: { facts } });
  output.result(found, ({ items }) =>
    table(
      ['subcloud', 'now', 'then', 'why', 'models', 'failing clauses'],
      items.map(({ subcloud, current, supposed, clauses }) => [
        subcloud,
        current.state ?? 'not in',
        supposed.state ?? 'not in',
        supposed.reason,
        supposed.models.join(', '),
        clauses
          .filter(({ pass }) => !pass)
          .map(({ clause, fix }) => `${clause}: ${fix ?? 'cannot pass'}`)
          .join('; '),
      ]),
      'No Subcloud that you may see.',
    ),
  );
  if (found.items.some(differs)) cli.exitCode = CHANGES;
}

function differs({ current, supposed }: OutputFor<'whatIf'>['items'][number]): boolean {
  return current.state !== supposed.state || current.models.join() !== supposed.models.join();
}

function usage(): CliError {
  return new CliError({
    code: 'client.usage',
    message: 'Say what to plan: -f FILE…, --delete NAME, or --what-if NODE --facts FILE.',
    next: '`subcloud plan --help` shows each.',
  });
}
