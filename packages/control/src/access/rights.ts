/**
 * Who may do what: the one table, by action and role. A right that does not stand here does not exist. docs/access.md is
 * printed from it, and a test calls every route as every role and compares.
 */
import type { Action } from '@subcloud/contract/routes/actions';

/**
 * A role is what somebody is to the thing that is asked about, so the same account has different ones for different
 * things. The text is what the role means.
 */
export const ROLES = {
  anonymous: 'anybody, with or without a credential',
  joinToken: 'whoever holds a live join token',
  caller: 'any account, service account or key of the network',
  self: 'acts as the very principal that the thing belongs to; of a request: belongs to whoever sent it',
  subcloudOwner:
    'acts as the principal that owns the Subcloud; to a node: whoever may explain a Subcloud that it is in',
  nodeOperator: 'acts as the principal that operates the node; to a Subcloud or claim: whoever may read a node in it',
  delegate: 'owner, admin or member of a team or organisation, or the account, that the Subcloud is delegated to',
  orgOwner: 'owner of the organisation that the thing belongs to; to a service account: of its organisation',
  orgAdmin: 'admin of it',
  orgMember: 'member of it',
  orgViewer: 'viewer of it',
  teamOwner: 'owner of the team that the thing belongs to, or of its organisation',
  teamAdmin: 'admin of the team, or of its organisation',
  teamMember: 'member of the team',
  teamViewer: 'viewer of the team',
  networkAdmin: 'the admin token, or an account with the network role admin',
  auditor: 'an account with the network role auditor: reads all, changes nothing',
} as const;
export type Role = keyof typeof ROLES;

const ADMINS = ['orgOwner', 'orgAdmin', 'teamOwner', 'teamAdmin'] as const;
const WORKERS = [...ADMINS, 'orgMember', 'teamMember'] as const;
const EVERY_MEMBER = [...WORKERS, 'orgViewer', 'teamViewer'] as const;
const NETWORK_READS = ['networkAdmin', 'auditor'] as const;

const OWN_SUBCLOUD = ['subcloudOwner', ...ADMINS, 'networkAdmin'] as const;
const RUNS_SUBCLOUD = [...OWN_SUBCLOUD, 'delegate'] as const;
const SEES_SUBCLOUD = ['subcloudOwner', 'delegate', ...EVERY_MEMBER, ...NETWORK_READS] as const;
const RUNS_NODE = ['nodeOperator', ...ADMINS, 'networkAdmin'] as const;
const SEES_NODE = ['nodeOperator', ...EVERY_MEMBER, ...NETWORK_READS] as const;
const OWN = ['self', ...ADMINS, 'networkAdmin'] as const;
const SEES_OWN = ['self', ...WORKERS, ...NETWORK_READS] as const;

/** Where a list is open to every caller, what stands in it is decided for each entry by the right to read that. */
export const RIGHTS: Readonly<Record<Action, readonly Role[]>> = {
  'openapi.read': ['anonymous'],
  'network.read': ['anonymous'],
  'network.apply': ['networkAdmin'],
  'self.read': ['caller'],

  'node.enrol': ['joinToken'],
  'node.list': ['caller'],
  'node.read': SEES_NODE,
  'node.explain': [...SEES_NODE, 'subcloudOwner', 'delegate'],
  'node.whatIf': ['nodeOperator', ...WORKERS, 'subcloudOwner', 'delegate', ...NETWORK_READS],
  'node.attest': RUNS_NODE,
  'node.drain': RUNS_NODE,
  'node.undrain': RUNS_NODE,
  'node.remove': RUNS_NODE,

  'principal.create': ['networkAdmin'],
  'principal.list': NETWORK_READS,
  'login.read': ['anonymous'],
  'login.device': ['anonymous'],
  'account.first': ['networkAdmin'],
  'account.list': NETWORK_READS,
  'account.read': ['self', 'orgOwner', 'orgAdmin', ...NETWORK_READS],
  'account.govern': ['networkAdmin'],
  'account.password': ['self', 'networkAdmin'],
  'account.disable': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  'org.create': ['caller'],
  'org.list': ['caller'],
  'org.read': ['self', ...EVERY_MEMBER, ...NETWORK_READS],
  'org.role': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  /** Without an invitation. */
  'org.assign': ['networkAdmin'],
  /** What makes or unmakes an owner. */
  'org.govern': ['orgOwner', 'teamOwner', 'networkAdmin'],
  'org.remove': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  'org.leave': ['orgOwner', 'orgAdmin', 'orgMember', 'orgViewer'],
  'team.create': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  'team.role': ['teamOwner', 'teamAdmin', 'networkAdmin'],
  'serviceAccount.create': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  'invitation.create': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  'invitation.list': ['caller'],
  'invitation.read': ['self', 'orgOwner', 'orgAdmin', ...NETWORK_READS],
  'invitation.answer': ['caller', 'self'],
  'invitation.revoke': ['orgOwner', 'orgAdmin', 'networkAdmin'],
  'key.create': OWN,
  'key.list': ['caller'],
  'key.read': [...OWN, 'auditor'],
  'key.revoke': OWN,
  'joinToken.create': OWN,
  'joinToken.list': ['caller'],
  'joinToken.read': SEES_OWN,
  'joinToken.revoke': OWN,
  'signingKey.list': NETWORK_READS,
  'signingKey.rotate': ['networkAdmin'],
  'signingKey.install': ['networkAdmin'],
  'gateway.list': NETWORK_READS,
  'gateway.remove': ['networkAdmin'],
  'gatewayToken.create': ['networkAdmin'],
  'gatewayToken.list': NETWORK_READS,
  'gatewayToken.revoke': ['networkAdmin'],

  'subcloud.list': ['caller'],
  'subcloud.read': [...SEES_SUBCLOUD, 'nodeOperator'],
  'subcloud.revisions': SEES_SUBCLOUD,
  'subcloud.explain': SEES_SUBCLOUD,
  'subcloud.plan': ['subcloudOwner', 'self', 'delegate', ...WORKERS, ...NETWORK_READS],
  'subcloud.shadow': [...RUNS_SUBCLOUD, 'orgMember', 'teamMember'],
  'subcloud.apply': [...RUNS_SUBCLOUD, 'self'],
  'subcloud.delete': OWN_SUBCLOUD,
  'subcloud.delegate': OWN_SUBCLOUD,
  'subcloud.transfer': ['subcloudOwner', 'orgOwner', 'teamOwner', 'networkAdmin'],
  /** Asked about the receiver. */
  'subcloud.receive': OWN,
  'member.list': [...SEES_SUBCLOUD, 'nodeOperator'],
  'member.invite': RUNS_SUBCLOUD,
  'member.remove': RUNS_SUBCLOUD,
  'member.approve': RUNS_SUBCLOUD,
  'member.deny': RUNS_SUBCLOUD,
  'member.accept': RUNS_NODE,
  'member.decline': RUNS_NODE,
  'member.ban': RUNS_SUBCLOUD,
  'member.unban': RUNS_SUBCLOUD,
  'ban.list': SEES_SUBCLOUD,
  'inbox.list': ['caller'],
  'token.create': RUNS_SUBCLOUD,
  'token.list': [...RUNS_SUBCLOUD, 'orgMember', 'teamMember', 'auditor'],
  'token.rotate': RUNS_SUBCLOUD,
  'token.revoke': RUNS_SUBCLOUD,

  // Of who is bound, and of the Subcloud. Nobody's traffic moves without their own yes: not even the network's admin says it.
  'binding.list': ['caller'],
  'binding.read': ['self', ...SEES_SUBCLOUD],
  'binding.accept': ['self', ...ADMINS],
  'binding.decline': ['self', ...ADMINS],
  'binding.end': ['self', ...RUNS_SUBCLOUD],

  'attester.create': OWN,
  'attester.list': ['caller'],
  'attester.revoke': OWN,
  'claim.create': ['caller'],
  'claim.sign': ['networkAdmin'],
  'claim.list': ['caller'],
  'claim.read': ['self', 'nodeOperator', ...EVERY_MEMBER, ...NETWORK_READS],
  'claim.revoke': OWN,
  'claim.restore': ['networkAdmin'],
  'domain.list': ['caller'],
  'domain.read': ['self', ...EVERY_MEMBER, ...NETWORK_READS],
  'domain.write': OWN,
  'domain.delete': OWN,
  'places.read': NETWORK_READS,
  'places.write': ['networkAdmin'],

  'request.read': ['self', ...SEES_SUBCLOUD],
  'usage.list': ['caller'],
  'load.list': ['caller'],
  'usage.read': SEES_OWN,
  'quota.read': SEES_OWN,
  'quota.set': ['networkAdmin'],
  'event.list': ['caller'],
  /** Of the network alone, and every other event. */
  'event.read': NETWORK_READS,
  'audit.read': NETWORK_READS,
};

/** Roles that need no thing to be asked about: with these alone, a refusal comes before anything is looked up. */
const OF_THE_NETWORK: ReadonlySet<Role> = new Set(['anonymous', 'joinToken', 'caller', 'networkAdmin', 'auditor']);

export function needsResource(action: Action): boolean {
  return RIGHTS[action].some((role) => !OF_THE_NETWORK.has(role));
}
