/**
 * One story through the command line alone: an organisation and its people, a private Subcloud, another organisation's
 * node, a bound caller, a ban; and the audit log tells all of it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestNetwork } from '@subcloud/testkit/test-network';
import { expect, test } from 'vitest';
import { type CommandLine, commandLine } from './run-command.ts';

test('an organisation, a private Subcloud, another’s node, a bound caller, a ban, and the log of it', async () => {
  await using network = await startTestNetwork();
  const folder = mkdtempSync(join(tmpdir(), 'subcloud-story-'));
  const { adminToken } = JSON.parse(readFileSync(join(network.dataDir, 'credentials.json'), 'utf8')) as {
    adminToken: string;
  };
  const admin = commandLine(network, adminToken);
  const account = async (id: string) => {
    await admin.json('principal', 'create', id);
    const { key } = await admin.json<{ key: string }>('key', 'create', '--principal', id);
    return Object.assign(commandLine(network, key), { key });
  };
  const [ada, bob, hoster, caller] = [
    await account('user:ada'),
    await account('user:bob'),
    await account('user:hoster'),
    await account('user:caller'),
  ];

  // Ada makes an organisation and invites Bob, who accepts.
  await ada.json('org', 'create', 'acme');
  await ada.json('org', 'invite', 'acme', 'user:bob', '--role', 'admin');
  const [invitation] = await bob.json<{ id: string }[]>('invitation', 'list');
  await bob.json('invitation', 'accept', invitation?.id ?? '');
  await hoster.json('org', 'create', 'hoster');

  // Bob makes a private Subcloud for it, that the traffic of a caller is to be bound to.
  const apply = async (name: string, access: object): Promise<void> => {
    const file = join(folder, `${name}.json`);
    const spec = { participation: { mode: 'private', cooldown: '0s' }, access };
    writeFileSync(
      file,
      JSON.stringify({ apiVersion: 'subcloud/v1', kind: 'Subcloud', metadata: { name, owner: 'org:acme' }, spec }),
    );
    await bob.json('apply', '-f', file);
  };
  await apply('clinic', { binding: ['user:caller'] });

  // The other organisation's node enrols, is invited by its id, and its operator accepts.
  const { joinToken } = await hoster.json<{ joinToken: string }>('join-token', 'create', '--operator', 'org:hoster');
  const node = await network.node({ name: 'gpu', joinToken, consent: { global: true } });
  await network.serving('global', node);
  await bob.json('member', 'invite', 'clinic', node.id);
  expect(await hoster.json('inbox')).toMatchObject([{ kind: 'invitation', subcloud: 'clinic', nodeName: 'gpu' }]);
  await hoster.json('member', 'accept', 'clinic');
  await network.serving('clinic', node);

  /** Where the node served it, by its own account; else what the command line says went wrong. */
  const ask = async (who: CommandLine, ...pool: string[]): Promise<string> => {
    const before = node.served.length;
    const { exitCode, stderr } = await who('chat', ...pool, 'hello', '--model', 'test-model', '--json');
    const served = node.served.slice(before).filter(({ accepted }) => accepted);
    return exitCode === 0 ? served.map((each) => each.pool).join() : (/[a-z]+\.[a-z_]+/.exec(stderr)?.[0] ?? stderr);
  };
  // Nothing is bound before the caller says yes.
  expect([await ask(caller), await ask(caller, 'global')]).toEqual(['global', 'global']);
  expect(await caller.json<{ subcloud: string }[]>('binding', 'list')).toMatchObject([{ subcloud: 'clinic' }]);
  await caller.json('binding', 'accept', 'clinic');
  expect([await ask(caller), await ask(caller, 'clinic')]).toEqual(['clinic', 'clinic']);
  expect(await ask(caller, 'global')).toBe('policy.bound_elsewhere');
  await caller.json('binding', 'end', 'clinic');
  expect([await ask(caller), await ask(caller, 'global')]).toEqual(['global', 'global']);
  expect(await ask(caller, 'clinic'), 'released, and not admitted any more').toMatch(/^(client|policy)\./);

  await apply('clinic', { whitelist: { orgs: ['org:acme'] } });
  expect(await ask(bob, 'clinic')).toBe('clinic');
  await bob.json('member', 'ban', 'clinic', 'gpu', '--why', 'the contract has ended');
  await eventually('the node is banned', async () => {
    const members = await bob.json<{ node: string; state: string }[]>('member', 'list', 'clinic');
    return members.some((member) => member.node === node.id && member.state === 'banned');
  });
  expect(await ask(bob, 'clinic')).toBe('routing.no_eligible_node');
  expect((await hoster('member', 'accept', 'clinic')).exitCode, 'no yes of the operator helps').toBe(1);

  // The log tells who did what, and verifies.
  const log = await admin.json<{ actor: string; action: string; role: string }[]>('audit', 'list', '--limit', '200');
  const told = log.map(({ actor, action, role }) => `${actor} ${action} as ${role}`).toReversed();
  const wanted = [
    'user:ada org.create as caller',
    'user:ada invitation.create as orgOwner',
    'user:bob invitation.answer as self',
    'user:hoster org.create as caller',
    'user:bob subcloud.apply as orgAdmin',
    'user:hoster joinToken.create as orgOwner',
    'user:bob member.invite as orgAdmin',
    'user:hoster member.accept as orgOwner',
    'user:caller binding.accept as self',
    'user:caller binding.end as self',
    'user:bob subcloud.apply as orgAdmin',
    'user:bob member.ban as orgAdmin',
  ];
  expect(told.filter((line) => wanted.includes(line))).toEqual(wanted);
  await eventually('the log is sealed', async () => {
    const { unsealed } = await admin.json<{ unsealed: number }>('audit', 'verify');
    return unsealed === 0;
  });
  rmSync(folder, { recursive: true });
});
