import { Command, CommanderError } from 'commander';
import { Cli } from './command.ts';
import type { CliHost } from './cli-host.ts';
import { addAgent } from './commands/agent.ts';
import { addApply } from './commands/apply.ts';
import { addAttesterCreate } from './commands/attester-create.ts';
import { addAttesterList } from './commands/attester-list.ts';
import { addAttesterRevoke } from './commands/attester-revoke.ts';
import { addAuditExport } from './commands/audit-export.ts';
import { addAuditList } from './commands/audit-list.ts';
import { addAuditVerify } from './commands/audit-verify.ts';
import { addBindingAccept } from './commands/binding-accept.ts';
import { addBindingDecline } from './commands/binding-decline.ts';
import { addBindingEnd } from './commands/binding-end.ts';
import { addBindingList } from './commands/binding-list.ts';
import { addBackup } from './commands/backup.ts';
import { addChat } from './commands/chat.ts';
import { addClaimList } from './commands/claim-list.ts';
import { addClaimRevoke } from './commands/claim-revoke.ts';
import { addDomainDelete } from './commands/domain-delete.ts';
import { addDomainGet } from './commands/domain-get.ts';
import { addDomainList } from './commands/domain-list.ts';
import { addDomainSet } from './commands/domain-set.ts';
import { addEvents } from './commands/events.ts';
import { addExplain } from './commands/explain.ts';
import { identityNouns } from './commands/identity-commands.ts';
import { addGatewayList } from './commands/gateway-list.ts';
import { addGatewayRemove } from './commands/gateway-remove.ts';
import { addGatewayTokenCreate } from './commands/gateway-token-create.ts';
import { addGatewayTokenList } from './commands/gateway-token-list.ts';
import { addGatewayTokenRevoke } from './commands/gateway-token-revoke.ts';
import { addJoinTokenCreate } from './commands/join-token-create.ts';
import { addJoinTokenList } from './commands/join-token-list.ts';
import { addJoinTokenRevoke } from './commands/join-token-revoke.ts';
import { addKeyCreate } from './commands/key-create.ts';
import { addKeyList } from './commands/key-list.ts';
import { addKeyRevoke } from './commands/key-revoke.ts';
import { approvalCommands } from './commands/approval.ts';
import { addInbox } from './commands/inbox.ts';
import { memberCommands } from './commands/member-answer.ts';
import { addMemberInvite } from './commands/member-invite.ts';
import { addMemberList } from './commands/member-list.ts';
import { addMemberRemove } from './commands/member-remove.ts';
import { addNetworkKeyCertify } from './commands/network-key-certify.ts';
import { addNetworkKeyInstall } from './commands/network-key-install.ts';
import { addNetworkKeyRotate } from './commands/network-key-rotate.ts';
import { addNetworkKeyShow } from './commands/network-key-show.ts';
import { addNodeAttest } from './commands/node-attest.ts';
import { addNodeDrain, addNodeUndrain } from './commands/node-drain.ts';
import { addNodeGet } from './commands/node-get.ts';
import { addNodeList } from './commands/node-list.ts';
import { addNodeRemove } from './commands/node-remove.ts';
import { addPlacesGet } from './commands/places-get.ts';
import { addPlacesSet } from './commands/places-set.ts';
import { addPlan } from './commands/plan.ts';
import { addPrincipalCreate } from './commands/principal-create.ts';
import { addPrincipalList } from './commands/principal-list.ts';
import { addQuotaGet } from './commands/quota-get.ts';
import { addQuotaSet } from './commands/quota-set.ts';
import { addReceiptGet } from './commands/receipt-get.ts';
import { addReceiptVerify } from './commands/receipt-verify.ts';
import { addRequestExplain } from './commands/request-explain.ts';
import { addRestore } from './commands/restore.ts';
import { addSchema } from './commands/schema.ts';
import { addServeControl } from './commands/serve-control.ts';
import { addServeGateway } from './commands/serve-gateway.ts';
import { addSubcloudDelete } from './commands/subcloud-delete.ts';
import { addSubcloudDiff } from './commands/subcloud-diff.ts';
import { addSubcloudGet } from './commands/subcloud-get.ts';
import { addSubcloudList } from './commands/subcloud-list.ts';
import { addSubcloudRevisions } from './commands/subcloud-revisions.ts';
import { addSubcloudRollback } from './commands/subcloud-rollback.ts';
import { addTokenCreate } from './commands/token-create.ts';
import { addTokenList } from './commands/token-list.ts';
import { addTokenRotate } from './commands/token-rotate.ts';
import { addTokenRevoke } from './commands/token-revoke.ts';
import { addLogin } from './commands/login.ts';
import { addLogout } from './commands/logout.ts';
import { addWhoami } from './commands/whoami.ts';
import { addSubcloudDelegate } from './commands/subcloud-delegate.ts';
import { addSubcloudReceive } from './commands/subcloud-receive.ts';
import { addSubcloudTransfer } from './commands/subcloud-transfer.ts';
import { addTop } from './commands/top.ts';
import { addUp } from './commands/up.ts';
import { addUsage } from './commands/usage.ts';
import { createOutput } from './output.ts';

/** Runs one command line. Resolves to the exit code: 0 only where everything that was asked for was done. */
export async function runCli(host: CliHost): Promise<number> {
  const cli = new Cli(host);
  try {
    await createProgram(cli).parseAsync([...host.argv], { from: 'user' });
    return cli.failed ? 1 : cli.exitCode;
  } catch (error) {
    // Commander has told what is wrong with the command line, or has shown the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode;
    createOutput(host, false).failure(error);
    return 1;
  }
}

type Adder = (parent: Command, cli: Cli) => void;

const NOUNS: readonly (readonly [noun: string, summary: string, verbs: readonly Adder[]])[] = [
  ['serve', 'run one role, for scaled-out deployments', [addServeControl, addServeGateway]],
  [
    'subcloud',
    'Subclouds',
    [
      addSubcloudList,
      addSubcloudGet,
      addSubcloudRevisions,
      addSubcloudDiff,
      addSubcloudRollback,
      addSubcloudDelegate,
      addSubcloudTransfer,
      addSubcloudReceive,
      addSubcloudDelete,
    ],
  ],
  ['domain', 'named places that manifests use', [addDomainList, addDomainGet, addDomainSet, addDomainDelete]],
  [
    'node',
    'nodes of the network',
    [addNodeList, addNodeGet, addNodeAttest, addNodeDrain, addNodeUndrain, addNodeRemove],
  ],
  ['attester', 'who may attest facts', [addAttesterCreate, addAttesterList, addAttesterRevoke]],
  ['claim', 'what is said of nodes, and by whom', [addClaimList, addClaimRevoke]],
  [
    'binding',
    'whose whole traffic goes to one Subcloud',
    [addBindingList, addBindingAccept, addBindingDecline, addBindingEnd],
  ],
  ['member', "a Subcloud's members", [...memberCommands, addMemberList, addMemberInvite, addMemberRemove]],
  ['approval', 'requests that wait for you as the owner', approvalCommands],
  ['token', 'tokens that open one Subcloud', [addTokenCreate, addTokenList, addTokenRotate, addTokenRevoke]],
  ['join-token', 'tokens that enrol nodes', [addJoinTokenCreate, addJoinTokenList, addJoinTokenRevoke]],
  ...identityNouns,
  [
    'network-key',
    'the key of the network, and the signing keys below it',
    [addNetworkKeyShow, addNetworkKeyRotate, addNetworkKeyCertify, addNetworkKeyInstall],
  ],
  ['gateway', 'gateways of the network', [addGatewayList, addGatewayRemove]],
  ['gateway-token', 'tokens that enrol gateways', [addGatewayTokenCreate, addGatewayTokenList, addGatewayTokenRevoke]],
  ['principal', 'users, teams and organisations', [addPrincipalCreate, addPrincipalList]],
  ['key', 'account keys', [addKeyCreate, addKeyList, addKeyRevoke]],
  ['places', "the admin's map from addresses to places", [addPlacesGet, addPlacesSet]],
  ['quota', 'how much somebody may have', [addQuotaGet, addQuotaSet]],
  ['audit', 'who did what', [addAuditList, addAuditExport, addAuditVerify]],
  ['request', 'requests that were made', [addRequestExplain]],
  ['receipt', 'who served an answer, and why it was sent there', [addReceiptGet, addReceiptVerify]],
];

function createProgram(cli: Cli): Command {
  const output = createOutput(cli.host, false);
  const program = new Command('subcloud')
    .description('Policy-defined, isolated subnetworks over fleets of LLM inference nodes')
    // Options stand behind the command that they are for: a command and its subcommand may share a name of one.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.piece(text),
      writeErr: (text) => output.progress(text),
    })
    .showHelpAfterError('(`--help` shows what there is)');
  addUp(program, cli);
  addAgent(program, cli);
  addLogin(program, cli);
  addLogout(program, cli);
  addWhoami(program, cli);
  addApply(program, cli);
  addPlan(program, cli);
  addExplain(program, cli);
  addChat(program, cli);
  addUsage(program, cli);
  addTop(program, cli);
  addInbox(program, cli);
  addEvents(program, cli);
  addSchema(program, cli);
  addBackup(program, cli);
  addRestore(program, cli);
  for (const [noun, summary, verbs] of NOUNS) {
    const command = program.command(noun).description(summary);
    for (const add of verbs) add(command, cli);
  }
  return program;
}
