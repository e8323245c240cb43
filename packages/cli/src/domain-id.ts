import { CliError } from './cli-error.ts';

export interface DomainAddress {
  readonly name: string;
  readonly owner?: `user:${string}` | `org:${string}` | `team:${string}`;
}

/** `NAME` of the network or `OWNER/NAME`, as manifests write it. Throws CliError. */
export function domainAddress(id: string): DomainAddress {
  const slash = id.lastIndexOf('/');
  const [owner, name] = [id.slice(0, Math.max(0, slash)), id.slice(slash + 1)];
  const isName = /^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*$/.test(name);
  if (isName && slash < 0) return { name };
  if (isName && /^(?:user|org|team):./.test(owner)) return { name, owner: owner as `org:${string}` };
  throw new CliError({
    code: 'client.usage',
    message: `${JSON.stringify(id)} is no name of a domain.`,
    next: 'Write NAME in capitals for one of the network, or OWNER/NAME, for example org:acme/PLANTS.',
  });
}
