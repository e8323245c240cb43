/** The parts of a syntax tree that say which rows, and which column of them. */
export type Row = Readonly<Record<string, unknown>>;
/** A node of Kysely's tree, read by name: the shapes are the library's own and not all exported. */
export type Tree = Readonly<Record<string, unknown>>;

export function entries(list: unknown): readonly Tree[] {
  return (list ?? []) as readonly Tree[];
}

export function tableOf(node: unknown): string {
  const table = (node as Tree)['table'] as Tree;
  return (table['identifier'] as Tree)['name'] as string;
}

/** Of a ColumnNode, or of a ReferenceNode: with its table where one is named. */
export function columnOf(node: unknown): string {
  const column = (node as Tree)['column'] as Tree;
  return column['kind'] === 'ColumnNode' ? columnOf(column) : (column['name'] as string);
}

export function matches(row: Row, node: unknown): boolean {
  if (node === undefined) return true;
  const tree = node as Tree;
  switch (tree['kind']) {
    case 'WhereNode':
      return matches(row, tree['where']);
    case 'OnNode':
      return matches(row, tree['on']);
    case 'ParensNode':
      return matches(row, tree['node']);
    case 'AndNode':
      return matches(row, tree['left']) && matches(row, tree['right']);
    case 'OrNode':
      return matches(row, tree['left']) || matches(row, tree['right']);
    case 'BinaryOperationNode':
      return compare(row, tree);
    default:
      throw new Error(`the simulated store does not know the condition ${String(tree['kind'])}`);
  }
}

function compare(row: Row, { leftOperand, operator, rightOperand }: Tree): boolean {
  const left = valueOf(row, leftOperand);
  const right = rightOperand as Tree;
  const name = (operator as Tree)['operator'];
  if (name === 'in') return (right['values'] as unknown[]).includes(left);
  const value = valueOf(row, right);
  switch (name) {
    case 'is':
    case '=':
      return left === value;
    case 'is not':
    case '!=':
      return left !== value;
    case '<':
      return (left as number) < (value as number);
    case '>':
      return (left as number) > (value as number);
    default:
      throw new Error(`the simulated store does not know the operator ${String(name)}`);
  }
}

export function valueOf(row: Row, node: unknown): unknown {
  const tree = node as Tree;
  if (tree['kind'] === 'ValueNode') return tree['value'];
  if (tree['kind'] !== 'ReferenceNode') throw new Error(`the simulated store does not know a ${String(tree['kind'])}`);
  const column = columnOf(tree);
  const named = tree['table'] === undefined ? undefined : `${tableOf(tree['table'])}.${column}`;
  return named !== undefined && named in row ? row[named] : row[column];
}
