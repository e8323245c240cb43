/** What an expression names, and whether it stays inside the part of CEL that policies have. */
import type { ASTNode } from '@marcbachmann/cel-js';
import { closest } from '../suggest.ts';
import { type CelTable, fieldsOf } from './cel-table.ts';

/** A refusal, with the offset in the text where it is. */
export class CelFault extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const FUNCTIONS = ['size', 'double', 'has'] as const;
const METHODS = ['size', 'contains', 'startsWith', 'endsWith'] as const;
const COMPREHENSIONS = ['all', 'exists', 'exists_one', 'filter'] as const;
const MAX_PATH_DEPTH = 8;

export interface Inspected {
  readonly variables: readonly string[];
  readonly keys: readonly string[];
}

/** Throws CelFault at the first thing that is refused. */
export function inspect(ast: ASTNode, table: CelTable): Inspected {
  const variables = new Set<string>();
  const keys = new Set<string>();
  const roots = fieldsOf(table, '');

  const visitAll = (nodes: readonly ASTNode[], bound: string | null): void => {
    for (const node of nodes) visit(node, bound);
  };

  const visit = (node: ASTNode, bound: string | null): void => {
    switch (node.op) {
      case 'value':
        if (!['string', 'bigint', 'number', 'boolean'].includes(typeof node.args))
          throw new CelFault('literals are texts, numbers, true and false', node.start);
        return;
      case 'id':
        if (node.args === bound) return;
        if (roots.includes(node.args)) throw incomplete(node.args, table, node.start);
        throw unknownName(node.args, node.args, table, bound, node.start);
      case '.':
        return visitPath(node, bound);
      case '[]': {
        const [of, key] = node.args;
        visitAll([of, key], bound);
        const path = pathOf(of)?.join('.');
        if (path !== undefined && key.op === 'value' && typeof key.args === 'string') keys.add(`${path}.${key.args}`);
        return;
      }
      case 'call':
        return visitCall(node.args[0], node.args[1], node.start, bound);
      case 'rcall':
        return visitMethod(node.args, node.start, bound);
      case 'list':
      case '?:':
        return visitAll(node.args, bound);
      case '!_':
      case '-_':
        return visit(node.args, bound);
      case 'map':
      case '.?':
      case '[?]':
        throw new CelFault('maps and optional fields cannot be written here', node.start);
      case '==':
      case '!=':
      case '<':
      case '<=':
      case '>':
      case '>=':
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
      case '&&':
      case '||':
      case 'in':
        return visitAll(node.args, bound);
    }
  };

  const visitPath = (node: ASTNode, bound: string | null): void => {
    const names = pathOf(node);
    const [root] = names ?? [];
    if (names === undefined || root === undefined || root === bound) {
      if (node.op === '.') visit(node.args[0], bound);
      return;
    }
    if (!roots.includes(root)) throw unknownName(root, names.join('.'), table, bound, node.start);
    for (let length = 2; length <= names.length; length++) {
      const prefix = names.slice(0, length).join('.');
      if (Object.hasOwn(table, prefix)) {
        variables.add(prefix);
        // A further name is a map's key; of any other type the type check says that there is none.
        if (length < names.length) keys.add(names.slice(0, length + 1).join('.'));
        return;
      }
      if (fieldsOf(table, prefix).length === 0) {
        const above = names.slice(0, length - 1).join('.');
        const hint = closest(names[length - 1] ?? '', fieldsOf(table, above));
        const meant = hint === undefined ? `; it has ${fieldsOf(table, above).join(', ')}` : `; did you mean ${hint}?`;
        throw new CelFault(`there is no ${prefix.slice(0, 80)}${meant}`, node.start);
      }
    }
    throw incomplete(names.join('.'), table, node.start);
  };

  const visitCall = (name: string, args: readonly ASTNode[], at: number, bound: string | null): void => {
    if (!isOneOf(FUNCTIONS, name)) throw notThere(name, [...FUNCTIONS], at);
    if (name === 'has' && !args.every((arg) => isKeyOfMap(arg, table)))
      throw new CelFault('`has` asks for a key of a map; a fact that is not known makes the expression unknown', at);
    visitAll(args, bound);
  };

  const visitMethod = (
    [name, receiver, args]: readonly [string, ASTNode, readonly ASTNode[]],
    at: number,
    bound: string | null,
  ): void => {
    if (!isOneOf(COMPREHENSIONS, name)) {
      if (!isOneOf(METHODS, name)) throw notThere(name, [...METHODS, ...COMPREHENSIONS], at);
      return visitAll([receiver, ...args], bound);
    }
    if (bound !== null) throw new CelFault(`\`${name}\` stands inside another comprehension`, at);
    visit(receiver, null);
    if (hasComprehension(receiver)) throw new CelFault(`\`${name}\` of another comprehension`, at);
    const [variable, ...rest] = args;
    if (variable?.op !== 'id') throw new CelFault(`\`${name}\` begins with the name of its variable`, at);
    if (roots.includes(variable.args))
      throw new CelFault(`\`${variable.args}\` is taken: name the variable otherwise`, variable.start);
    visitAll(rest, variable.args);
  };

  visit(ast, null);
  return { variables: [...variables].sort(), keys: [...keys].sort() };
}

/** `a.b.c` as its names; undefined for anything else. */
function pathOf(node: ASTNode): readonly string[] | undefined {
  const names: string[] = [];
  let at = node;
  while (at.op === '.' && names.length < MAX_PATH_DEPTH) {
    names.unshift(at.args[1]);
    at = at.args[0];
  }
  return at.op === 'id' ? [at.args, ...names] : undefined;
}

function isKeyOfMap(node: ASTNode, table: CelTable): boolean {
  const names = pathOf(node);
  if (names === undefined) return false;
  const path = names.slice(0, -1).join('.');
  return Object.hasOwn(table, path) && table[path]?.type === 'map<string, string>';
}

function hasComprehension(node: ASTNode): boolean {
  if (node.op === '.') return hasComprehension(node.args[0]);
  if (node.op !== 'rcall') return false;
  return isOneOf(COMPREHENSIONS, node.args[0]) || hasComprehension(node.args[1]);
}

function notThere(name: string, known: readonly string[], at: number): CelFault {
  if (name === 'matches')
    return new CelFault(
      '`matches` is not allowed, since a pattern can take for ever: use contains, startsWith or endsWith',
      at,
    );
  const hint = closest(name, known);
  return new CelFault(
    `there is no function ${name.slice(0, 80)}${hint === undefined ? '' : `; did you mean ${hint}?`}`,
    at,
  );
}

function incomplete(path: string, table: CelTable, at: number): CelFault {
  return new CelFault(`${path} is a group: name one of its fields, ${fieldsOf(table, path).join(', ')}`, at);
}

function unknownName(name: string, path: string, table: CelTable, bound: string | null, at: number): CelFault {
  const roots = fieldsOf(table, '');
  const rooted = roots.map((root) => `${root}.${path}`).find((whole) => isPrefix(whole, table));
  const hint = rooted ?? closest(name, [...roots, ...(bound === null ? [] : [bound])]);
  return new CelFault(
    `there is no variable ${name.slice(0, 80)}${hint === undefined ? '' : `; did you mean ${hint}?`}`,
    at,
  );
}

function isPrefix(path: string, table: CelTable): boolean {
  return Object.hasOwn(table, path) || fieldsOf(table, path).length > 0;
}

function isOneOf<Name extends string>(names: readonly Name[], name: string): name is Name {
  return (names as readonly string[]).includes(name);
}
