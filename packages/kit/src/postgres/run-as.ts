import { readFile, stat } from 'node:fs/promises';
import type { Log } from '../log.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { PostgresStartError } from './postgres-start-error.ts';
import { runProgram } from './run-program.ts';

/** As whom, and through which tools, PostgreSQL's programs are started. */
export interface RunAs {
  /** Put before the program: tools that change the user or the fate of the process and then become it, so that the pid stays the same. */
  readonly prefix: readonly string[];
  /** Who must own the data folder; `undefined`: whoever runs us. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly describe: string;
}

export interface RunAsQuestion {
  readonly binaries: PostgresBinaries;
  /** Our folder; exists. */
  readonly dataDir: string;
  /** PostgreSQL's folder below it; may not exist yet. */
  readonly clusterDir: string;
  readonly log: Log;
  /** Tests of the paths that this machine would not take give these; otherwise what is found. */
  readonly uid?: number | undefined;
  readonly userNamespaces?: boolean | undefined;
}

/** The system user that root's PostgreSQL runs as where user namespaces are off. */
const systemUserName = 'subcloud';

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * PostgreSQL refuses to run as root, and people run things as root. So, for root, in this order:
 * 1. An existing cluster of an ordinary user is run as that user, so that its files stay theirs.
 * 2. In a user namespace, where root is shown to PostgreSQL as an ordinary user: no account is made, files stay root's, and a folder that
 *    only root may enter is no obstacle.
 * 3. As a system user, which is made when missing.
 *
 * @throws PostgresStartError `config.postgres_user`
 */
export async function chooseRunAs(question: RunAsQuestion): Promise<RunAs> {
  const uid = question.uid ?? process.getuid?.();
  const deathSignal = await deathSignalPrefix();
  if (uid !== 0) return { prefix: deathSignal, owner: undefined, describe: 'the current user' };

  const accounts = await readAccounts();
  const clusterOwner = await ownerOf(question.clusterDir);
  if (clusterOwner !== undefined && clusterOwner.uid !== 0) {
    return runAsUser(question, { name: nameOf(accounts, clusterOwner.uid), ...clusterOwner });
  }

  const namespace = userNamespacePrefix(accounts);
  if (namespace !== undefined && (question.userNamespaces ?? (await works([...namespace, 'true'])))) {
    return { prefix: [...namespace, ...deathSignal], owner: undefined, describe: 'root in a user namespace' };
  }
  if (clusterOwner !== undefined) {
    throw new PostgresStartError({
      fault: 'config.postgres_user',
      happened: `The database in ${question.clusterDir} belongs to root, PostgreSQL refuses to run as root, and this machine does not permit the user namespace that it was made in.`,
      nextStep: `Permit user namespaces, or give the folder to an ordinary user (\`chown -R USER ${question.dataDir}\`) and start again.`,
    });
  }
  return runAsUser(question, await systemUser(accounts, question.log));
}

/**
 * The kernel sends SIGINT (PostgreSQL's fast shutdown) when our process dies, however it dies. The tool is part of util-linux; without it
 * the next start finds the survivor and stops it.
 */
async function deathSignalPrefix(): Promise<string[]> {
  const prefix = ['setpriv', '--pdeathsig', 'SIGINT', '--'];
  return (await works([...prefix, 'true'])) ? prefix : [];
}

/** initdb insists that its user has a name, so root is shown as a user that the machine knows. */
function userNamespacePrefix(accounts: readonly Account[]): string[] | undefined {
  // 65534 is how the kernel shows every foreign owner inside the namespace: used only where there is no other account.
  const ordinary = accounts.filter((account) => account.uid !== 0);
  const shown = ordinary.find((account) => account.uid !== 65_534) ?? ordinary[0];
  if (shown === undefined) return undefined;
  return ['unshare', '-U', `--map-user=${shown.uid}`, `--map-group=${shown.gid}`, '--'];
}

async function runAsUser(question: RunAsQuestion, account: Account): Promise<RunAs> {
  const change = [
    'setpriv',
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    '--clear-groups',
    '--pdeathsig',
    'SIGINT',
  ];
  // Lets PostgreSQL pass folders that only root may enter. It may then read what root may read, exactly as in the user namespace.
  const passFolders = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  const owner = { uid: account.uid, gid: account.gid };
  const reaches = (prefix: readonly string[]) =>
    works([...prefix, 'sh', '-c', 'test -x "$1" && test -d "$2"', 'sh', question.binaries.postgres, question.dataDir]);
  if (await reaches([...change, '--'])) return { prefix: [...change, '--'], owner, describe: `user ${account.name}` };
  if (await reaches([...change, ...passFolders, '--'])) {
    return {
      prefix: [...change, ...passFolders, '--'],
      owner,
      describe: `user ${account.name}, passing root's folders`,
    };
  }
  throw new PostgresStartError({
    fault: 'config.postgres_user',
    happened: `PostgreSQL refuses to run as root, and user ${account.name} cannot reach both ${question.binaries.postgres} and ${question.dataDir}.`,
    nextStep:
      'Run this as an ordinary user, or move the program and its data folder to where every user may enter, such as /srv.',
  });
}

async function systemUser(accounts: readonly Account[], log: Log): Promise<Account> {
  const existing = accounts.find((account) => account.name === systemUserName);
  if (existing !== undefined) return existing;
  const args = [
    '--system',
    '--user-group',
    '--no-create-home',
    '--home-dir',
    '/nonexistent',
    '--shell',
    '/usr/sbin/nologin',
  ];
  const made = await runProgram({ command: 'useradd', args: [...args, systemUserName] });
  const account = (await readAccounts()).find((candidate) => candidate.name === systemUserName);
  if (made.exitCode !== 0 || account === undefined) {
    throw new PostgresStartError({
      fault: 'config.postgres_user',
      happened: `PostgreSQL refuses to run as root, this machine does not permit user namespaces, and the system user "${systemUserName}" could not be made.`,
      nextStep: `Make it (\`useradd --system ${systemUserName}\`), or run this as an ordinary user.`,
      lastLines: made.lastLines,
    });
  }
  log.warn(
    { user: systemUserName },
    'made a system user: PostgreSQL refuses to run as root, and user namespaces are off',
  );
  return account;
}

async function readAccounts(): Promise<Account[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (name === undefined || !/^\d+$/.test(uid ?? '') || !/^\d+$/.test(gid ?? '')) return [];
    return [{ name, uid: Number(uid), gid: Number(gid) }];
  });
}

function nameOf(accounts: readonly Account[], uid: number): string {
  return accounts.find((account) => account.uid === uid)?.name ?? `number ${uid}`;
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? undefined : { uid: found.uid, gid: found.gid };
}

async function works(commandLine: readonly string[]): Promise<boolean> {
  const [command, ...args] = commandLine;
  if (command === undefined) return false;
  return (await runProgram({ command, args })).exitCode === 0;
}
