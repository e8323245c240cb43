import { writeFile } from 'node:fs/promises';
import { ApiError } from '@subcloud/sdk/api-error';
import type { Receipt } from '@subcloud/kit/receipts';
import type { Command } from 'commander';
import { type ClientContext, type Cli, networkLeaf } from '../command.ts';
import { fields } from '../output.ts';
import { readableHalves } from '../receipt-text.ts';

interface Options {
  readonly out?: string;
  readonly wait: string;
}

/** A node signs what it served within a second; gateway and control pass it on. */
const DEFAULT_WAIT_S = '10';
const ASK_EVERY_MS = 500;

export function addReceiptGet(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'get <id>', "the signed receipt of an answer, by the answer's x-request-id")
    .option('--out <file>', 'where to write it; to stdout if left out, with --json whole')
    .option('--wait <seconds>', 'how long to wait until both halves are there', DEFAULT_WAIT_S)
    .action(
      cli.clientAction<Options>(async (context, id: string) => {
        const { output, options } = context;
        const receipt = await receiptOf(context, id, Number(options.wait) * 1_000);
        // Not over an earlier one.
        if (options.out !== undefined)
          await writeFile(options.out, `${JSON.stringify(receipt, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
        const rows = await readableHalves(receipt);
        output.result(receipt, () =>
          [
            fields([['request', receipt.requestId], ['network', receipt.networkId], ...rows]),
            receipt.serving === null
              ? 'The node has not signed: its half is not here yet, or it was gone before it could.'
              : 'Both halves are signed.',
            options.out === undefined
              ? 'Keep it with `--out FILE`, and check it with `subcloud receipt verify FILE`.'
              : `Written to ${options.out}. Check it with \`subcloud receipt verify ${options.out}\`.`,
          ].join('\n'),
        );
      }),
    );
}

/** Throws ApiError where there is none in the end. */
async function receiptOf(
  { client, host: { clock } }: ClientContext<Options>,
  id: string,
  waitMs: number,
): Promise<Receipt> {
  const endMs = clock.monotonicMs() + (Number.isFinite(waitMs) ? waitMs : 0);
  for (;;) {
    const over = clock.monotonicMs() >= endMs;
    try {
      const receipt = await client.call('getReceipt', { params: { id } });
      if (receipt.serving !== null || over) return receipt;
    } catch (error) {
      if (over || !(error instanceof ApiError) || error.status !== 404) throw error;
    }
    await clock.sleep(ASK_EVERY_MS);
  }
}
