import type { AuditReport, SealRecord } from '@subcloud/kit/audit-chain';
import type { AuditLine } from '@subcloud/sdk/audit-log';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type ClientContext, type Cli, networkLeaf } from '../command.ts';
import { counted } from '../counts.ts';

interface Options {
  readonly against?: string;
  readonly fingerprint?: string;
}

export function addAuditVerify(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'verify', 'check that no entry of the audit log was changed, taken out, moved or cut off')
    .option('--file <export>', 'check what `audit export` wrote, without the network')
    .option('--against <export>', 'an earlier export, which the log must still contain')
    .option('--fingerprint <hex>', "the network key's, known from elsewhere")
    .action((...given: unknown[]) => {
      const { file } = given.at(-2) as { readonly file?: string };
      const action =
        file === undefined
          ? cli.clientAction<Options>(async (context) => {
              const { auditOfNetwork } = await import('@subcloud/sdk/audit-log');
              await verify(context, auditOfNetwork(context.client));
            })
          : cli.action<Options>(async (context) => {
              const { auditOfFile } = await import('../audit-file.ts');
              await verify(context, auditOfFile(file));
            });
      return action(...given);
    });
}

async function verify(
  { options, output }: Pick<ClientContext<Options>, 'options' | 'output'>,
  lines: AsyncIterable<AuditLine>,
): Promise<void> {
  const { createAuditVerifier } = await import('@subcloud/kit/audit-chain');
  const { fingerprintOf } = await import('@subcloud/kit/signing');
  const earlier = options.against === undefined ? undefined : await lastSealOf(options.against);
  let verifier: ReturnType<typeof createAuditVerifier> | undefined;
  let network: { id: string; fingerprint: string } | undefined;
  let broken: string | null = null;
  for await (const line of lines) {
    if (line.kind === 'log') {
      const { networkId, networkKey, anchor } = line.head;
      network = { id: networkId, fingerprint: fingerprintOf(networkKey) };
      broken = line.head.broken;
      requireFingerprint(options.fingerprint, network.fingerprint);
      const anchors = [anchor, earlier].filter((seal): seal is SealRecord => seal !== null && seal !== undefined);
      verifier = createAuditVerifier([networkKey], anchors);
    } else if (line.kind === 'entry') verifier?.entry(line);
    else if (line.kind === 'seal') verifier?.seal(line);
  }
  const report = verifier?.end();
  if (report === undefined || network === undefined) throw new Error('the log has no first line');
  if (report.faults.length > 0 || broken !== null) throw notWhole(report, broken);
  const unsealed = report.entries - report.sealedTo;
  output.result({ ...report, network, unsealed }, () =>
    [
      `${counted(report.entries, 'entry', 'entries')}, none changed, missing or out of place; ${counted(report.seals, 'seal', 'seals')} hold.`,
      unsealed === 0
        ? 'All of it is sealed.'
        : `The newest ${counted(unsealed, 'entry is', 'entries are')} not sealed yet: a seal comes within seconds.`,
      `Network ${network.id}, key ${network.fingerprint}.`,
    ].join('\n'),
  );
}

async function lastSealOf(path: string): Promise<SealRecord | undefined> {
  const { auditOfFile } = await import('../audit-file.ts');
  let last: SealRecord | undefined;
  for await (const line of auditOfFile(path))
    if (line.kind === 'seal') last = { document: line.document, certificate: line.certificate };
  return last;
}

function requireFingerprint(wanted: string | undefined, found: string): void {
  if (wanted === undefined || wanted.toLowerCase() === found) return;
  throw new CliError({
    code: 'platform.audit_not_whole',
    message: `The log is of a network with the key ${found}, not ${wanted}.`,
    next: 'Check that it is the right network or file; if it is, somebody has put another log in its place.',
  });
}

function notWhole({ faults, ...report }: AuditReport, broken: string | null): CliError {
  const found = [...faults.map(({ message }) => message), ...(broken === null ? [] : [`control found: ${broken}`])];
  return new CliError({
    code: 'platform.audit_not_whole',
    message: `The audit log is not whole: ${found.slice(0, 10).join('; ')}.`,
    next: 'Keep a copy of the database as it is, and compare it with your exports and backups.',
    details: { ...report, faults, broken },
  });
}
