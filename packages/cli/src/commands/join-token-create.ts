import type { Client } from '@subcloud/sdk/client';
import type { Command } from 'commander';
import { type Cli, networkLeaf } from '../command.ts';
import { durationSeconds } from '../duration.ts';
import { CONTROL_BY_SOCKET } from '../find-network.ts';
import { type JoinLines, joinLines } from '../join-lines.ts';
import { fields } from '../output.ts';

export function addJoinTokenCreate(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'create', 'make a token that enrols nodes; reusable until it expires')
    .option('--operator <id>', 'who operates the nodes; default: you')
    .option('--expires-in <duration>', 'for example 1h', '24h')
    .action(
      cli.clientAction<{ readonly operator?: string; readonly expiresIn: string }>(
        async ({ client, output, options, local }) => {
          const operator = options.operator ?? local?.principal;
          const body = {
            expiresInS: durationSeconds(options.expiresIn),
            ...(operator === undefined ? {} : { operator }),
          };
          const made = await client.call('createJoinToken', { body });
          // The token is there, and shown this once: nothing that is asked for beside it may keep it back.
          const agentSha256 = output.isJson ? null : await agentHash(client);
          const reached = output.isJson ? AT_A_GATEWAY : await reachedAt(client);
          output.result(made, () =>
            [
              fields([
                ['id', made.id],
                ['operator', made.operator],
                ['expires', made.expiresAt],
              ]),
              '',
              'On the machine that joins (the token is shown this once):',
              ...joinLines({ ...reached, joinToken: made.joinToken, agentSha256 }).map((line, index) =>
                index === 0 ? `  ${line}` : `or, in a clone of this project:\n  ${line}`,
              ),
            ].join('\n'),
          );
        },
      ),
    );
}

type Reached = Pick<JoinLines, 'url' | 'tlsKeySha256'>;

/** Whoever reads it has to put the address in. */
const AT_A_GATEWAY: Reached = { url: 'https://GATEWAY:7700', tlsKeySha256: undefined };

/** Where the machine that joins finds the network: control's own socket is no address for it, that of a gateway is. */
async function reachedAt(client: Client): Promise<Reached> {
  if (client.url !== CONTROL_BY_SOCKET) return { url: client.url, tlsKeySha256: client.trustedKeySha256 ?? null };
  try {
    const { items } = await client.call('listGateways', { query: {} });
    const urls = items.flatMap(({ url, watching }) => (url !== null && watching ? [url] : []));
    return { ...AT_A_GATEWAY, ...(urls[0] === undefined ? {} : { url: urls[0] }) };
  } catch {
    // Who operates nodes need not be one who may list gateways.
    return AT_A_GATEWAY;
  }
}

/** Null where the network hands out no file, which is no reason not to show the token. */
async function agentHash(client: Client): Promise<string | null> {
  try {
    return (await client.call('agentFile', {})).sha256;
  } catch {
    return null;
  }
}
