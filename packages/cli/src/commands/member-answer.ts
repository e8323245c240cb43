/** What owners and operators answer each other: requests, invitations, bans. */
import type { Command } from 'commander';
import type { Client, OutputFor } from '@subcloud/sdk/client';
import { CliError } from '../cli-error.ts';
import { type Cli, networkLeaf } from '../command.ts';
import { table } from '../output.ts';
import { withdrawalText } from '../withdrawal.ts';

type Member = OutputFor<'acceptMember'>;
type Adder = (parent: Command, cli: Cli) => void;

export const memberCommands: readonly Adder[] = [
  (parent, cli) => addAnswer(parent, cli, 'approve', 'approveMember', 'approve the request of a node'),
  (parent, cli) => addAnswer(parent, cli, 'deny', 'denyMember', 'deny the request of a node'),
  addAccept,
  addDecline,
  addBan,
  addUnban,
  addBans,
];

function memberText({ nodeName, node, state, subcloud, reason }: Member): string {
  return `${nodeName} (${node}) is ${state} in ${subcloud} (${reason}).`;
}

export function addAnswer(
  parent: Command,
  cli: Cli,
  verb: string,
  route: 'approveMember' | 'denyMember',
  summary: string,
): void {
  networkLeaf(parent, `${verb} <name> <node>`, summary).action(
    cli.clientAction(async ({ client, output }, name: string, node: string) => {
      const params = { name, node: await member(client, name, node) };
      output.result(await client.call(route, { params }), memberText);
    }),
  );
}

function addAccept(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'accept <name> [node]', "say yes as the node's operator: to an invitation, or to ask to be in")
    .option('--isolation <most>', 'the most that the Subcloud may take of it; default: what it takes now')
    .action(
      cli.clientAction<{ readonly isolation?: string }>(
        async ({ client, output, options }, name: string, node?: string) => {
          const params = { name, node: await ownNode(client, name, node) };
          const body = options.isolation === undefined ? {} : { isolation: isolationOf(options.isolation) };
          output.result(await client.call('acceptMember', { params, body }), memberText);
        },
      ),
    );
}

function isolationOf(text: string): 'shared' | 'isolate' | 'exclusive' {
  if (text === 'shared' || text === 'isolate' || text === 'exclusive') return text;
  throw new CliError({
    code: 'client.invalid_isolation',
    message: `${JSON.stringify(text.slice(0, 40))} is no isolation.`,
    next: 'Give shared, isolate or exclusive.',
  });
}

function addDecline(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'decline <name> [node]',
    "say no as the node's operator, and leave; it stands until `accept`",
  ).action(
    cli.clientAction(async ({ client, output }, name: string, node?: string) => {
      const params = { name, node: await ownNode(client, name, node) };
      output.result(await client.call('declineMember', { params }), (withdrawal) =>
        withdrawalText(`${params.node} is not for ${name}`, withdrawal),
      );
    }),
  );
}

function addBan(parent: Command, cli: Cli): void {
  networkLeaf(
    parent,
    'ban <name> <who>',
    'ban a node (by id or name), or a principal as an operator; from `global`: from the network',
  )
    .option('--account', 'the principal as a caller, not as an operator')
    .option('--why <text>', 'the reason, which those who see the ban see')
    .action(
      cli.clientAction<{ readonly account?: boolean; readonly why?: string }>(
        async ({ client, output, options }, name: string, who: string) => {
          const kind = !isPrincipal(who) ? 'node' : options.account === true ? 'account' : 'operator';
          const subject = kind === 'node' ? await member(client, name, who) : who;
          const body = { kind, subject, ...(options.why === undefined ? {} : { reason: options.why }) } as const;
          output.result(await client.call('createBan', { params: { name }, body }), ({ ban, withdrawal }) =>
            withdrawalText(`${subject} is banned from ${name} (${ban.id})`, withdrawal),
          );
        },
      ),
    );
}

function addUnban(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'unban <name> <who>', 'lift a ban, given by its id, by node or by principal').action(
    cli.clientAction(async ({ client, output }, name: string, who: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      const bans = await listAll(client, 'listBans', { params: { name } });
      const known = bans.filter(({ id, subject }) => id === who || subject === who);
      const named = known.length > 0 || isPrincipal(who) ? known : await byNodeName(client, name, who, bans);
      if (named.length === 0)
        throw new CliError({
          code: 'client.unknown_ban',
          message: `${who} is not banned from ${name}.`,
          next: `\`subcloud member bans ${name}\` shows who is.`,
        });
      for (const { id } of named) await client.call('liftBan', { params: { name, id } });
      output.result({ lifted: named.map(({ id }) => id) }, () => `${who} is no longer banned from ${name}.`);
    }),
  );
}

function addBans(parent: Command, cli: Cli): void {
  networkLeaf(parent, 'bans <name>', 'who is banned').action(
    cli.clientAction(async ({ client, output }, name: string) => {
      const { listAll } = await import('@subcloud/sdk/pages');
      output.result(await listAll(client, 'listBans', { params: { name } }), (bans) =>
        table(
          ['id', 'kind', 'who', 'why', 'by', 'since'],
          bans.map(({ id, kind, subject, reason, by, at }) => [id, kind, subject, reason, by, at]),
          'nobody is banned',
        ),
      );
    }),
  );
}

type Bans = OutputFor<'listBans'>['items'];

async function byNodeName(client: Client, name: string, who: string, bans: Bans): Promise<Bans> {
  const id = await member(client, name, who);
  return bans.filter(({ subject }) => subject === id);
}

async function member(client: Client, name: string, node: string): Promise<string> {
  const { resolveMember } = await import('../resolve-node.ts');
  return resolveMember(client, name, node);
}

function isPrincipal(text: string): boolean {
  return /^(?:user|team|org):/.test(text);
}

/** Given, or else the only one that the Subcloud has invited. */
async function ownNode(client: Client, name: string, node: string | undefined): Promise<string> {
  if (node !== undefined) return (await import('../resolve-node.ts')).resolveNode(client, node);
  const { listAll } = await import('@subcloud/sdk/pages');
  const waiting = await listAll(client, 'listInbox');
  const invited = waiting.filter(({ kind, subcloud }) => kind === 'invitation' && subcloud === name);
  if (invited.length === 1 && invited[0] !== undefined) return invited[0].node;
  throw new CliError({
    code: 'client.unknown_node',
    message:
      invited.length === 0
        ? `No node of yours is invited to ${name}.`
        : `${invited.length} nodes of yours are invited to ${name}: ${invited.map(({ nodeName }) => nodeName).join(', ')}.`,
    next: 'Name the node.',
  });
}
