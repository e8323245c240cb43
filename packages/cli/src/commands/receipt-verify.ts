import { readFile } from 'node:fs/promises';
import type { ReceiptReport } from '@subcloud/kit/receipts';
import type { Command } from 'commander';
import { CliError } from '../cli-error.ts';
import { type Cli, leaf } from '../command.ts';
import { fields } from '../output.ts';
import { readableHalves } from '../receipt-text.ts';

interface Options {
  readonly fingerprint?: string;
  readonly request?: string;
  readonly answer?: string;
  readonly call?: string;
  readonly salt?: string;
}

const MAX_RECEIPT_BYTES = 1_048_576;

export function addReceiptVerify(parent: Command, cli: Cli): void {
  leaf(
    parent,
    'verify <file>',
    'check a receipt, without the network: who served the answer, and why it was sent there',
  )
    .option('--fingerprint <hex>', "the network key's, known from elsewhere (it stands in join lines)")
    .option('--salt <hex>', "from the answer's header x-subcloud-receipt-salt; needed for the next two")
    .option('--request <file>', 'the body that was sent')
    .option('--answer <file>', 'the body that came back, byte for byte')
    .option('--call <call>', "of an internal API what was asked: 'GET /search?q=1', the path below the API's name")
    .action(
      cli.action<Options>(async ({ output, options }, path: string) => {
        const { receiptFrom, verifyReceipt } = await import('@subcloud/kit/receipts');
        const { DocumentError, fingerprintOf } = await import('@subcloud/kit/signing');
        const receipt = receiptFrom(jsonOf(await bytesOf(path, MAX_RECEIPT_BYTES)));
        if (receipt === undefined) throw notAReceipt(`${path} is not a receipt`);
        const named = fingerprintOf(receipt.routing.networkKey);
        const kept = await keptContent(options);
        let report: ReceiptReport;
        try {
          report = verifyReceipt(receipt, options.fingerprint?.toLowerCase() ?? named, kept);
        } catch (error) {
          if (error instanceof DocumentError) throw notValid([error.message]);
          throw error;
        }
        if (report.faults.length > 0) throw notValid(report.faults);
        const rows = await readableHalves(receipt);
        const pinned = options.fingerprint !== undefined;
        output.result({ ...report, network: { id: receipt.networkId, fingerprint: named, pinned } }, () =>
          [
            fields([
              ['request', receipt.requestId],
              ...rows,
              ['gateway', 'its signature holds'],
              ['node', receipt.serving === null ? 'has not signed' : 'its signature holds'],
              ['request body', report.request],
              ['answer body', report.answer],
              ...(report.routing.parts === undefined ? [] : [['text of its parts', report.parts] as const]),
              ['network', `${receipt.networkId}, key ${named}`],
            ]),
            ...(pinned
              ? []
              : ['Whether that is the network you mean, only its fingerprint says: give it with --fingerprint.']),
          ].join('\n'),
        );
      }),
    );
}

async function keptContent({ salt, request, answer, call }: Options) {
  if (salt === undefined) {
    if (request === undefined && answer === undefined && call === undefined) return undefined;
    throw notAReceipt('--request, --answer and --call need the --salt that came with the answer');
  }
  return {
    salt: salt.toLowerCase(),
    request: request === undefined ? undefined : await bytesOf(request),
    answer: answer === undefined ? undefined : await bytesOf(answer),
    call,
  };
}

/** Larger than any body that the network takes. */
const MAX_CONTENT_BYTES = 1_073_741_824;

async function bytesOf(path: string, maxBytes = MAX_CONTENT_BYTES): Promise<Buffer> {
  try {
    const bytes = await readFile(path);
    if (bytes.byteLength <= maxBytes) return bytes;
  } catch (error) {
    throw notAReceipt(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw notAReceipt(`${path} is too large`);
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function notAReceipt(what: string): CliError {
  return new CliError({
    code: 'client.not_a_receipt',
    message: `${what}.`,
    next: 'Give a file that `subcloud receipt get ID --out FILE` wrote.',
  });
}

function notValid(faults: readonly string[]): CliError {
  return new CliError({
    code: 'client.receipt_not_valid',
    message: `The receipt does not hold: ${faults.join('; ')}.`,
    next: 'Get it again; if it still does not hold, somebody has changed it, or signed what was not so.',
    details: { faults },
  });
}
