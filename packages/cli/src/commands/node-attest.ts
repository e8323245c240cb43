import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { fields } from '../output.ts';

interface Options {
  readonly issuer?: string;
  readonly key?: string;
  readonly expires: string;
  readonly digest?: string;
}

export function addNodeAttest(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'attest [node] [fact] [value]', 'sign a claim about a node, or with --digest an audit of weights')
    .option('--issuer <name>', 'attester in whose name; default: the network, for its admin')
    .option('--key <file>', "the attester's key file; default: attester-NAME.pem")
    .option('--expires <duration>', 'how long it holds', '365d')
    .option('--digest <sha256:…>', 'audit the weights with this digest, wherever they are served')
    .addHelpText(
      'after',
      [
        '',
        'VALUE is JSON, or in short: a place (DE, DE-BE) for location and operatorSeat, a word for trustLevel, a number for',
        'reputation and uptime30d, an amount ("1000 CREDIT") for stake.',
      ].join('\n'),
    )
    .action(
      cli.clientAction<Options>(
        async ({ client, output, options, host }, node: string, fact: string, value: string) => {
          const { parseFactValue } = await import('../fact-value.ts');
          const claim = await subjectAndValue();
          const nowMs = host.clock.nowMs();
          const expiresAt = nowMs + durationSeconds(options.expires) * 1_000;
          const body = await signedOrDraft();
          output.result(await client.call('createClaim', { body }), ({ claim: made, change, withdrawal }) =>
            fields([
              ['claim', made.id],
              ['about', made.node ?? made.digest],
              ['fact', made.fact],
              ['value', JSON.stringify(made.value)],
              ['issuer', made.issuer],
              ['expires', made.expiresAt],
              ['counts', made.counted ? (made.why ?? true) : `no: ${made.why ?? 'unknown'}`],
              [
                'in force',
                change === 'unchanged' ? 'it was there already' : withdrawal.complete ? 'everywhere' : 'soon',
              ],
            ]),
          );

          async function subjectAndValue() {
            if (options.digest !== undefined) {
              if (node !== undefined)
                throw usage('With --digest there is no node, fact or value: the audit is of the weights.');
              const { digest } = options;
              return { subject: { digest }, fact: 'audit', value: { digest } } as const;
            }
            if (node === undefined || fact === undefined || value === undefined)
              throw usage('Name the node, the fact and the value.');
            const { resolveNode } = await import('../resolve-node.ts');
            // Whoever attests need not be allowed to list nodes: an id goes as it is.
            return { subject: { node: await resolveNode(client, node) }, ...parseFactValue(fact, value) };
          }

          async function signedOrDraft() {
            if (options.issuer === undefined || options.issuer === 'network') {
              if (options.key !== undefined) throw usage('Name the attester whose key it is with --issuer.');
              return { draft: { ...claim, expiresAt: new Date(expiresAt).toISOString() } };
            }
            const { readKeyFile } = await import('../attester-key.ts');
            const { signDocument } = await import('@subcloud/kit/signing');
            const key = readKeyFile(options.key ?? `attester-${options.issuer}.pem`);
            const { id: networkId } = await client.call('network', {});
            const { issuer } = options;
            const document = signDocument(key, 'claim', {
              version: 1,
              networkId,
              issuer,
              ...claim,
              issuedAt: nowMs,
              expiresAt,
            });
            return { document };
          }
        },
      ),
    );
}

function usage(message: string): CliError {
  return new CliError({
    code: 'client.invalid_arguments',
    message,
    next: 'See `subcloud node attest --help`.',
  });
}
