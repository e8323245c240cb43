import type { Client } from '@subcloud/sdk/client';
import { eachItem, listAll } from '@subcloud/sdk/pages';
import { CliError } from './cli-error.ts';

/** The id of a node that is given by its id or its name. Throws CliError where the name is nobody's or not only one's. */
export async function resolveNode(client: Client, idOrName: string): Promise<string> {
  if (/^nod_[0-9a-z]{1,64}$/.test(idOrName)) return idOrName;
  const found: string[] = [];
  for await (const node of eachItem(client, 'listNodes')) if (node.name === idOrName) found.push(node.id);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new CliError({
    code: 'client.unknown_node',
    message:
      found.length === 0
        ? `There is no node ${JSON.stringify(idOrName)}, or not for this credential.`
        : `${found.length} nodes have the name ${JSON.stringify(idOrName)}: ${found.join(', ')}.`,
    next: found.length === 0 ? '`subcloud node list` shows those that there are.' : 'Give the id of the one you mean.',
  });
}

/** A node by its id, or by its name among those that the Subcloud has or that the caller may list. Throws CliError. */
export async function resolveMember(client: Client, subcloud: string, idOrName: string): Promise<string> {
  if (/^nod_[0-9a-z]{1,64}$/.test(idOrName)) return idOrName;
  if (subcloud !== 'global') {
    const members = await listAll(client, 'listMembers', { params: { name: subcloud } });
    const found = members.filter(({ nodeName }) => nodeName === idOrName);
    if (found.length === 1 && found[0] !== undefined) return found[0].node;
  }
  return resolveNode(client, idOrName);
}
