import { parseAst } from 'vitest/node';
import type { SourceFile } from './source-tree.ts';

/** A node of the syntax tree (ESTree with TypeScript's nodes), with offsets into the text. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** One module named by an import, an export-from, a dynamic import, an import type or a `require`. */
export interface ImportedModule {
  /** Null when the name is computed: then nobody can say what it loads. */
  readonly specifier: string | null;
  readonly line: number;
}

/** The syntax tree of a file. Throws, with the path, for a text that is not TypeScript. */
export function parseSource(file: SourceFile): SyntaxNode {
  try {
    const program: unknown = parseAst(file.text, { lang: 'ts', sourceType: 'module' });
    if (isNode(program)) return program;
  } catch (error) {
    throw new Error(`${file.path} does not parse`, { cause: error });
  }
  throw new Error(`${file.path} does not parse into a tree`);
}

/** Calls `visit` for every node below and including `node`, with its ancestors, the nearest last. */
export function walk(
  node: SyntaxNode,
  visit: (node: SyntaxNode, ancestors: readonly SyntaxNode[]) => void,
  ancestors: readonly SyntaxNode[] = [],
): void {
  visit(node, ancestors);
  const below = [...ancestors, node];
  for (const child of Object.values(node)) {
    for (const item of Array.isArray(child) ? child : [child]) {
      if (isNode(item)) walk(item, visit, below);
    }
  }
}

/** The child of a node under a key, when it is a node. */
export function childNode(node: SyntaxNode, key: string): SyntaxNode | null {
  const child = node[key];
  return isNode(child) ? child : null;
}

/** The 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}

/** Every module that a file names, in whichever way. */
export function importedModules(file: SourceFile): readonly ImportedModule[] {
  const found: ImportedModule[] = [];
  walk(parseSource(file), (node) => {
    const source = namedSource(node);
    if (source === null) return;
    const specifier = source.type === 'Literal' && typeof source['value'] === 'string' ? source['value'] : null;
    found.push({ specifier, line: lineAt(file.text, source.start) });
  });
  return found;
}

function namedSource(node: SyntaxNode): SyntaxNode | null {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return childNode(node, 'source');
    case 'TSExternalModuleReference':
      return childNode(node, 'expression');
    case 'CallExpression':
      return requiredSource(node);
    default:
      return null;
  }
}

/**
 * The argument of `require(…)`, `require.resolve(…)` and `import.meta.resolve(…)`. A resolve of a computed name counts
 * as none: it finds a file, for example the binaries for this platform, and loads nothing.
 */
function requiredSource(call: SyntaxNode): SyntaxNode | null {
  const callee = childNode(call, 'callee');
  const isRequire = callee?.type === 'Identifier' && callee['name'] === 'require';
  const object = callee?.type === 'MemberExpression' ? childNode(callee, 'object') : null;
  const property = callee?.type === 'MemberExpression' ? childNode(callee, 'property') : null;
  const isResolve =
    property?.['name'] === 'resolve' &&
    (object?.type === 'MetaProperty' || (object?.type === 'Identifier' && object['name'] === 'require'));
  const first: unknown = Array.isArray(call['arguments']) ? call['arguments'][0] : null;
  if (!isNode(first)) return null;
  return isRequire || (isResolve && first.type === 'Literal') ? first : null;
}

function isNode(value: unknown): value is SyntaxNode {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    typeof value.type === 'string' &&
    'start' in value &&
    typeof value.start === 'number'
  );
}
