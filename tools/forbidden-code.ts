import { isTestCode, type SourceFile } from './source-tree.ts';
import { childNode, lineAt, parseSource, type SyntaxNode, walk } from './syntax.ts';

const clockReason = 'time and chance come from the Clock that is passed in: a test owns both';
const fetchReason = 'a request goes through the HTTP client that is passed in: fetch has no limits of ours';
const starReason = 'name the columns: a new column must not reach a reader that was not written for it';

/** What may not be read off the global object; the linter sees only the bare names. */
const globalMembers: Readonly<Record<string, string>> = {
  setTimeout: clockReason,
  setInterval: clockReason,
  Date: clockReason,
  Math: clockReason,
  fetch: fetchReason,
};

/**
 * What no rule of the linter finds, as `path:line: reason`: time, chance and fetch taken by another name, in code that
 * users run, and `select *` anywhere.
 */
export function forbiddenCode(file: SourceFile): readonly string[] {
  const found: string[] = [];
  const ownsClock =
    file.path.startsWith('packages/kit/') || isTestCode(file.path) || !file.path.startsWith('packages/');
  walk(parseSource(file), (node) => {
    const reason = (ownsClock ? null : clockFault(node)) ?? starFault(node);
    if (reason !== null) found.push(`${file.path}:${lineAt(file.text, node.start)}: ${reason}`);
  });
  return found;
}

/** The same for a file of SQL. */
export function forbiddenSql(file: SourceFile): readonly string[] {
  const code = file.text.replace(/--[^\n]*/g, '');
  return code.split('\n').flatMap((line, index) => (hasStar(line) ? [`${file.path}:${index + 1}: ${starReason}`] : []));
}

function clockFault(node: SyntaxNode): string | null {
  switch (node.type) {
    case 'NewExpression':
    case 'CallExpression': {
      const callee = childNode(node, 'callee');
      const givenTime = Array.isArray(node['arguments']) && node['arguments'].length > 0;
      const isDate = callee?.type === 'Identifier' && callee['name'] === 'Date';
      // With an argument it converts a time; `Date(…)` without new ignores its arguments and reads the clock.
      return isDate && (node.type === 'CallExpression' || !givenTime) ? clockReason : null;
    }
    case 'MemberExpression': {
      const object = childNode(node, 'object');
      const isGlobal =
        object?.type === 'Identifier' && (object['name'] === 'globalThis' || object['name'] === 'global');
      return isGlobal ? (globalMembers[memberName(node)] ?? null) : null;
    }
    case 'VariableDeclarator': {
      const from = childNode(node, 'init');
      const isGlobal = from?.type === 'Identifier' && from['name'] === 'globalThis';
      return isGlobal ? 'name what is taken from the global object, so that a check can see it' : null;
    }
    default:
      return null;
  }
}

function starFault(node: SyntaxNode): string | null {
  switch (node.type) {
    case 'Literal':
      return typeof node['value'] === 'string' && hasStar(node['value']) ? starReason : null;
    case 'TemplateElement': {
      const value = node['value'];
      const raw = typeof value === 'object' && value !== null && 'raw' in value ? value.raw : null;
      return typeof raw === 'string' && hasStar(raw) ? starReason : null;
    }
    case 'CallExpression': {
      const callee = childNode(node, 'callee');
      const name = callee?.type === 'MemberExpression' ? memberName(callee) : '';
      return name === 'selectAll' || name === 'returningAll' ? starReason : null;
    }
    default:
      return null;
  }
}

function hasStar(text: string): boolean {
  return /\b(?:select|returning)\s+(?:distinct\s+)?(?:\w+\.)?\*/i.test(text);
}

function memberName(member: SyntaxNode): string {
  const property = childNode(member, 'property');
  const name = property?.['name'] ?? property?.['value'];
  return typeof name === 'string' ? name : '';
}
