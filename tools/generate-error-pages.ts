/**
 * Writes docs/errors: a page for each error code of the contract, and the list of them. A code in an answer is of use
 * only if it can be looked up, so the pages are made from the codes and cannot fall behind.
 *
 *   node tools/generate-error-pages.ts           writes the pages and removes those of codes that are gone
 *   node tools/generate-error-pages.ts --check   writes nothing; exits 1 and names the pages that differ
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERROR_CODES, type ErrorCode } from '@subcloud/contract/errors';

/** File name -> text. */
export type Pages = Readonly<Record<string, string>>;

export const errorPagesFolder: string = fileURLToPath(new URL('../docs/errors', import.meta.url));

const owners: Readonly<Record<string, string>> = {
  client: 'the caller, who can correct the request',
  policy: 'the rules of the network, of the Subcloud or of the operator',
  config: 'the author of the configuration or manifest',
  routing: 'the owner of the pool',
  capacity: 'nobody: the load is higher than the limit',
  upstream: 'the operator of the node that served the request',
  platform: 'the admin of the network',
};

/** The pages that the codes ask for. Throws for a code whose owner, the part before its dot, has no description. */
export function errorPages(codes: Readonly<Record<string, ErrorCode>>): Pages {
  const names = Object.keys(codes).toSorted();
  const pages = names.map((name): [string, string] => [`${name}.md`, errorPage(name, codes[name])]);
  return { ...Object.fromEntries(pages), 'README.md': listPage(names, codes) };
}

/** Each page that is missing, differs, or belongs to no code, as a sentence. */
export function pageFaults(wanted: Pages, found: Pages): readonly string[] {
  const missingOrOther = Object.entries(wanted).flatMap(([name, text]) => {
    if (found[name] === undefined) return [`docs/errors/${name} is missing`];
    return found[name] === text ? [] : [`docs/errors/${name} does not say what the contract says`];
  });
  const orphans = Object.keys(found).filter((name) => wanted[name] === undefined);
  return [...missingOrOther, ...orphans.map((name) => `docs/errors/${name} is about no error code`)];
}

/** The pages of a folder; none if it does not exist yet. */
export function readPages(folder: string): Pages {
  const names = (existsSync(folder) ? readdirSync(folder) : []).filter((name) => !name.startsWith('.'));
  return Object.fromEntries(names.map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]));
}

function errorPage(name: string, code: ErrorCode | undefined): string {
  const owner = name.split('.')[0] ?? '';
  const ownerText = owners[owner];
  if (code === undefined || ownerText === undefined)
    throw new Error(`no description for the owner "${owner}" of ${name}`);
  return `# ${name}

${code.summary}

| | |
| --- | --- |
| HTTP status | ${code.status} |
| \`error.type\` | \`${code.type}\` |
| \`error.code\` | \`${name}\` |
| who can mend it | ${ownerText} |

**What to do.** ${code.advice}
`;
}

function listPage(names: readonly string[], codes: Readonly<Record<string, ErrorCode>>): string {
  const rows = names.map((name) => `| [${name}](${name}.md) | ${codes[name]?.status} | ${codes[name]?.summary} |`);
  return `# Error codes

Every error answer has the form \`{ "error": { "message", "type", "param", "code" } }\`. The part of a code before its
dot says who can mend it. These pages are generated: \`node tools/generate-error-pages.ts\`.

| code | status | meaning |
| --- | --- | --- |
${rows.join('\n')}
`;
}

function main(args: readonly string[]): number {
  const wanted = errorPages(ERROR_CODES);
  const faults = pageFaults(wanted, readPages(errorPagesFolder));
  if (args.includes('--check')) {
    for (const fault of faults) console.error(fault);
    if (faults.length > 0) console.error('run: node tools/generate-error-pages.ts');
    return faults.length === 0 ? 0 : 1;
  }
  for (const name of Object.keys(readPages(errorPagesFolder))) {
    if (wanted[name] === undefined) rmSync(path.join(errorPagesFolder, name));
  }
  mkdirSync(errorPagesFolder, { recursive: true });
  for (const [name, text] of Object.entries(wanted)) writeFileSync(path.join(errorPagesFolder, name), text);
  console.log(`${Object.keys(wanted).length} pages in docs/errors`);
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
