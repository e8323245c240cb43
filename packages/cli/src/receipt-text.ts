import type { Receipt, ReceiptReport } from '@subcloud/kit/receipts';

type Row = readonly [string, string | number | null];

/** What both halves say, for people; not checked. */
export async function readableHalves(receipt: Receipt): Promise<readonly Row[]> {
  const { halvesOf } = await import('@subcloud/kit/receipts');
  return rowsOf(halvesOf(receipt));
}

function rowsOf({
  routing: sent,
  serving: served,
  earlier,
}: Pick<ReceiptReport, 'routing' | 'serving' | 'earlier'>): readonly Row[] {
  return [
    ['at', new Date(sent.atMs).toISOString()],
    ['pool', `${sent.pool}, revision ${sent.revision}, policy ${sent.effectiveHash.slice(0, 16)}`],
    ['table version', sent.tableVersion],
    ['model', sent.model],
    ['weights', served?.digest ?? null],
    ['node', sent.earlierNodes === 0 ? sent.node : `${sent.node}, after ${sent.earlierNodes} that broke off`],
    ...(sent.parts ?? []).map(
      ({ node, textBytes }, index): Row => [`part ${index + 1}`, `${node}, ${textBytes} bytes of text`],
    ),
    ...(sent.earlierNodes === 0
      ? []
      : [['earlier nodes', `${earlier.length} of ${sent.earlierNodes} signed`] as const]),
    ['tokens', `${sent.promptTokens} in, ${sent.completionTokens} out${sent.estimated ? ' (estimated)' : ''}`],
    ['status', sent.broken === true ? `${sent.status}, broken off` : sent.status],
    ['took', `${Math.round(sent.durationMs)} ms${served === null ? '' : `, at the node ${served.durationMs} ms`}`],
  ];
}
