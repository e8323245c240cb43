import { isTestCode, type SourceFile } from './source-tree.ts';
import { childNode, lineAt, parseSource, type SyntaxNode, walk } from './syntax.ts';

export const maxFileLines = 400;
export const maxFunctionLines = 120;

/** Something longer than its limit; `key` is what the list of allowances would name. */
export interface Overlong {
  readonly key: string;
  readonly lines: number;
  readonly maxLines: number;
}

/** The file, if it is too long, and each of its functions that is. A `describe` block is a chapter, not a function. */
export function overlongParts(file: SourceFile): readonly Overlong[] {
  const found: Overlong[] = [];
  const fileLines = file.text.trimEnd().split('\n').length;
  if (fileLines > maxFileLines) found.push({ key: file.path, lines: fileLines, maxLines: maxFileLines });
  walk(parseSource(file), (node, ancestors) => {
    if (!isFunction(node) || (isTestCode(file.path) && isChapter(ancestors.at(-1)))) return;
    const lines = lineAt(file.text, node.end) - lineAt(file.text, node.start) + 1;
    if (lines <= maxFunctionLines) return;
    const name = functionName(node, ancestors.at(-1)) ?? `line-${lineAt(file.text, node.start)}`;
    found.push({ key: `${file.path}#${name}`, lines, maxLines: maxFunctionLines });
  });
  return found;
}

/** What is too long without a reason, and the reasons that nothing needs any more, each as a sentence. */
export function lengthFaults(
  files: readonly SourceFile[],
  allowances: Readonly<Record<string, string>>,
): readonly string[] {
  const overlong = files.flatMap(overlongParts);
  const needed = new Set(overlong.map((part) => part.key));
  return [
    ...overlong
      .filter((part) => (allowances[part.key] ?? '').trim() === '')
      .map((part) => `${part.key} has ${part.lines} lines, more than ${part.maxLines}`),
    ...Object.keys(allowances)
      .filter((key) => !needed.has(key))
      .map((key) => `${key} is within the limits: drop its allowance`),
  ];
}

function isFunction(node: SyntaxNode): boolean {
  return (
    node.type === 'FunctionDeclaration' || node.type === 'FunctionExpression' || node.type === 'ArrowFunctionExpression'
  );
}

/** `describe(…)`, `describe.each(…)(…)` and the like. */
function isChapter(parent: SyntaxNode | undefined): boolean {
  let callee = parent?.type === 'CallExpression' ? childNode(parent, 'callee') : null;
  while (callee?.type === 'CallExpression' || callee?.type === 'MemberExpression') {
    callee = childNode(callee, callee.type === 'CallExpression' ? 'callee' : 'object');
  }
  return callee?.type === 'Identifier' && callee['name'] === 'describe';
}

/** The function's own name, or that of the variable, method or property that holds it. */
function functionName(node: SyntaxNode, parent: SyntaxNode | undefined): string | null {
  const holder = childNode(node, 'id') ?? (parent && (childNode(parent, 'id') ?? childNode(parent, 'key')));
  const name = holder?.['name'];
  return typeof name === 'string' ? name : null;
}
