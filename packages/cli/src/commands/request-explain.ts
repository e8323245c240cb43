import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { counts } from '../counts.ts';
import { fields, table } from '../output.ts';

export function addRequestExplain(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'explain <id>', 'why a request went where it went').action(
    cli.clientAction(async ({ client, output }, id: string) => {
      output.result(await client.call('getRequest', { params: { id } }), (record) =>
        [
          fields([
            ['request', record.requestId],
            ['at', new Date(record.atMs).toISOString()],
            ['principal', record.principal],
            ['pool', record.pool === null ? null : `${record.pool} (named by ${record.poolBy ?? 'nobody'})`],
            ['revision', record.revision],
            ['table version', record.tableVersion],
            ['model', record.model],
            ['could serve', record.candidates],
            ['not taken', counts(record.notTaken)],
            ['waited for a place', record.queuedMs === undefined ? null : `${Math.round(record.queuedMs)} ms`],
            ['outcome', `${record.outcome} (${record.status})`],
            ['first byte', record.firstByteMs === null ? null : `${Math.round(record.firstByteMs)} ms`],
            ['took', `${Math.round(record.durationMs)} ms`],
          ]),
          '',
          table(
            ['attempt', 'node', 'by', 'compared', 'outcome', 'from', 'to'],
            record.attempts.map((attempt, index) => [
              index + 1,
              attempt.node,
              attempt.by ?? '',
              attempt.considered.map(({ node, inFlight }) => `${node}: ${inFlight} in flight`).join(', '),
              attempt.continuesAfterBytes === undefined
                ? attempt.outcome
                : `${attempt.outcome} (went on after ${attempt.continuesAfterBytes} bytes of text)`,
              `${Math.round(attempt.startedAfterMs)} ms`,
              `${Math.round(attempt.endedAfterMs)} ms`,
            ]),
            'no node was tried',
          ),
          ...(record.nodes === null
            ? []
            : [
                '',
                table(
                  ['node', 'part', 'state', 'reason', 'failing clauses', 'as of'],
                  record.nodes.map(({ nodeName, part, state, reason, failing, asOf }) => [
                    nodeName,
                    part,
                    state,
                    reason,
                    failing.map(({ clause, wanted, seen }) => `${clause}: wanted ${wanted}, saw ${seen}`).join('; '),
                    asOf,
                  ]),
                  'the pool considers no node',
                ),
              ]),
        ].join('\n'),
      );
    }),
  );
}
