/**
 * Who may call what, told as plainly as manifest.md tells it and written apart from the product: no table, no compiling,
 * every question asked of the manifests themselves. What the gateway decides is compared with this.
 */
export interface NaiveWhitelist {
  readonly accounts: readonly string[];
  readonly teams: readonly string[];
  readonly orgs: readonly string[];
  readonly cidrs: readonly string[];
}
export interface NaivePool {
  readonly name: string;
  readonly owner: string | null;
  readonly require: 'any' | 'all';
  readonly tokens: boolean;
  readonly whitelist: NaiveWhitelist | undefined;
  /** Who is listed, whether or not they accepted. */
  readonly binding: readonly string[];
  /** Callers, or groups of them, that may not call it. */
  readonly banned: readonly string[];
}
export interface NaiveCredential {
  readonly id: string;
  readonly principal: string;
  /** Of a Subcloud token. */
  readonly opens: string | undefined;
}
export interface NaiveNetwork {
  readonly pools: readonly NaivePool[];
  /** Bindings that were accepted: who -> pool. */
  readonly accepted: ReadonlyMap<string, string>;
  /** Account or team -> everything that it belongs to. */
  readonly belongsTo: (principal: string) => readonly string[];
}
export interface NaiveRequest {
  readonly credential: NaiveCredential;
  readonly name: string | undefined;
  readonly address: string;
}

/** The pool that serves it, or the code of the refusal. */
export function naiveAccess(network: NaiveNetwork, { credential, name, address }: NaiveRequest): string {
  const { principal, opens } = credential;
  const groups = network.belongsTo(principal);
  const bound = naiveBinding(network, credential, groups);
  if (bound === 'conflict') return 'policy.binding_conflict';
  if (bound !== undefined && name !== undefined && name !== bound) return 'policy.bound_elsewhere';
  if (bound !== undefined && opens !== undefined && opens !== bound) return 'policy.bound_elsewhere';
  const wanted = bound ?? name ?? opens ?? 'global';
  const pool = network.pools.find((each) => each.name === wanted);
  if (pool === undefined) return 'client.not_found';
  const here = bound === wanted;
  const own = [principal, ...groups];
  const named =
    pool.whitelist === undefined ? [] : [...pool.whitelist.accounts, ...pool.whitelist.teams, ...pool.whitelist.orgs];
  const knows = here || opens === wanted || own.some((id) => id === pool.owner || named.includes(id));
  const refusal = knows ? 'policy.access_denied' : 'client.not_found';
  if (own.some((id) => pool.banned.includes(id))) return refusal;
  if (opens !== undefined && opens !== wanted) return refusal;
  const holds: boolean[] = [];
  if (pool.tokens) holds.push(opens === wanted);
  if (pool.binding.length > 0) holds.push(here);
  if (pool.whitelist !== undefined) {
    const { cidrs } = pool.whitelist;
    const nobody = named.length === 0 && cidrs.length === 0;
    const inside = cidrs.length === 0 || cidrs.some((cidr) => isInside(address, cidr));
    const listed = named.length === 0 || own.some((id) => named.includes(id));
    holds.push(!nobody && inside && listed);
  }
  if (holds.length === 0) return wanted;
  const admitted = pool.require === 'all' ? !holds.includes(false) : holds.includes(true);
  return admitted ? wanted : refusal;
}

function naiveBinding(
  { accepted }: NaiveNetwork,
  { id, principal }: NaiveCredential,
  groups: readonly string[],
): string | undefined {
  const all = [`token:${id}`, principal, ...groups];
  const levels = [
    all.filter((each) => each.startsWith('token:')),
    all.filter((each) => each.startsWith('user:')),
    all.filter((each) => each.startsWith('team:')),
    all.filter((each) => each.startsWith('org:')),
  ];
  for (const level of levels) {
    const pools = new Set(level.flatMap((each) => accepted.get(each) ?? []));
    if (pools.size > 1) return 'conflict';
    for (const pool of pools) return pool;
  }
  return undefined;
}

/** IPv4 only: octet by octet, bit by bit. */
function isInside(address: string, cidr: string): boolean {
  const [network = '', length = ''] = cidr.split('/');
  const bits = (text: string): string =>
    text
      .split('.')
      .map((octet) => Number(octet).toString(2).padStart(8, '0'))
      .join('');
  return bits(address).slice(0, Number(length)) === bits(network).slice(0, Number(length));
}
