/**
 * Writes docs/access.md: who may do what, printed from the table that control decides by, so that the page cannot say
 * anything else.
 *
 *   node tools/generate-access-page.ts           writes the page
 *   node tools/generate-access-page.ts --check   writes nothing; exits 1 where it differs
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RIGHTS, ROLES, type Role } from '@subcloud/control/access/rights';
import type { Action } from '@subcloud/contract/routes/actions';
import { controlRoutes } from '@subcloud/contract/routes/control';

export const accessPagePath: string = fileURLToPath(new URL('../docs/access.md', import.meta.url));

const roles = Object.keys(ROLES) as Role[];
/** Roles that stand in a column of their own; the others are told in words. */
const columns = [
  ['self, owner, operator', ['self', 'subcloudOwner', 'nodeOperator']],
  ['delegate', ['delegate']],
  ['org owner', ['orgOwner']],
  ['org admin', ['orgAdmin']],
  ['org member', ['orgMember']],
  ['org viewer', ['orgViewer']],
  ['team owner', ['teamOwner']],
  ['team admin', ['teamAdmin']],
  ['team member', ['teamMember']],
  ['team viewer', ['teamViewer']],
  ['network admin', ['networkAdmin']],
  ['auditor', ['auditor']],
] as const satisfies readonly (readonly [string, readonly Role[]])[];

const letters: Partial<Record<Role, string>> = { self: 's', subcloudOwner: 'o', nodeOperator: 'n' };

export function accessPage(): string {
  const meanings = roles.map((role) => `| \`${role}\` | ${ROLES[role]} |`);
  const rows = (Object.keys(RIGHTS) as Action[]).map(row);
  return `# Who may do what

Rights are decided in one place, by the table below: for the action of the route that was called, on what the caller is to the
thing that it is called about. A right that does not stand here does not exist. Whoever may not know of a thing (it lacks the
thing's \`read\`) gets the same answer as for one that does not exist. This page is generated: \`npm run access\`.

## Roles

The same account is different things to different things.

| role | who that is |
| --- | --- |
${meanings.join('\n')}

## Actions

\`s\`: self, \`o\`: Subcloud owner, \`n\`: node operator, \`x\`: the role of the column. Where a list is open to every caller, what stands in
it is decided for each entry by the right to read that.

| action | routes | everybody | ${columns.map(([title]) => title).join(' | ')} |
| --- | --- | --- | ${columns.map(() => '---').join(' | ')} |
${rows.join('\n')}
`;
}

function row(action: Action): string {
  const may = RIGHTS[action];
  const routes = Object.entries(controlRoutes)
    .filter(([, route]) => route.action === action)
    .map(([name]) => `\`${name}\``);
  const everybody = may.includes('anonymous')
    ? 'anybody'
    : may.includes('joinToken')
      ? 'a join token'
      : may.includes('caller')
        ? 'every caller'
        : '';
  const cells = columns.map(([, held]) =>
    held
      .filter((role) => may.includes(role))
      .map((role) => letters[role] ?? 'x')
      .join(' '),
  );
  return `| \`${action}\` | ${routes.join(', ')} | ${everybody} | ${cells.join(' | ')} |`.replaceAll(/ +\|/g, ' |');
}

function main(args: readonly string[]): number {
  const wanted = accessPage();
  if (!args.includes('--check')) {
    writeFileSync(accessPagePath, wanted);
    console.log('docs/access.md');
    return 0;
  }
  const same = existsSync(accessPagePath) && readFileSync(accessPagePath, 'utf8') === wanted;
  if (!same) console.error('docs/access.md does not say what the table says: npm run access');
  return same ? 0 : 1;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
