/** Our CEL against another implementation of it, over generated expressions of the part of CEL that policies have. */
import { isCelError, run } from '@bufbuild/cel';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type CelExpression, compileCel } from './cel-expression.ts';
import type { CelValue } from './cel-table.ts';
import { NODE_VARIABLES } from './node-variables.ts';

type Typed = 'string' | 'int' | 'double' | 'bool' | 'strings' | 'doubles';
type Variables = Readonly<Record<string, CelValue>>;

const words = ['', 'a', 'r7', 'gold', 'DE', 'H100', 'lab/small', 'ä', 'a b'];
const word = fc.constantFrom(...words);
const text = (value: string): string => JSON.stringify(value);
const integer = fc.oneof(fc.integer({ min: -3, max: 9 }).map(String), fc.constant('9223372036854775807'));
const small = fc.oneof(fc.integer({ min: -3, max: 9 }).map(String), fc.constant('node.gpu.count'));
const fraction = fc.constantFrom('0.0', '0.5', '0.99', '1.0', '79.6', '80.0', '-1.5', '1e3');

/** Texts of expressions of one type, at most `depth` deep; `bound` is the variable of the comprehension around them. */
function expressionOf(type: Typed, depth: number, bound: Typed | null): fc.Arbitrary<string> {
  const paths = Object.entries(NODE_VARIABLES)
    .filter(([, variable]) => typeNames[type] === variable.type)
    .map(([path]) => path);
  const leaves = [literalOf(type), ...(paths.length === 0 ? [] : [fc.constantFrom(...paths)])];
  if (type === 'string')
    leaves.push(
      word.map((key) => `node.labels[${text(key)}]`),
      fc.constant('node.labels.rack'),
    );
  if (bound === type) leaves.push(fc.constant('x'));
  if (depth === 0) return fc.oneof(...leaves);
  return fc.oneof(...leaves, ...compoundOf(type, depth - 1, bound));
}

const typeNames: Readonly<Record<Typed, string>> = {
  string: 'string',
  int: 'int',
  double: 'double',
  bool: 'bool',
  strings: 'list<string>',
  doubles: 'list<double>',
};

function literalOf(type: Typed): fc.Arbitrary<string> {
  if (type === 'string') return word.map(text);
  if (type === 'int') return integer;
  if (type === 'double') return fraction;
  if (type === 'bool') return fc.constantFrom('true', 'false');
  const entry = type === 'strings' ? word.map(text) : fraction;
  return fc.array(entry, { minLength: 1, maxLength: 3 }).map((entries) => `[${entries.join(', ')}]`);
}

function compoundOf(type: Typed, depth: number, bound: Typed | null): fc.Arbitrary<string>[] {
  const of = (inner: Typed): fc.Arbitrary<string> => expressionOf(inner, depth, bound);
  const pair = (inner: Typed, operators: readonly string[], other: Typed = inner): fc.Arbitrary<string> =>
    fc.tuple(of(inner), fc.constantFrom(...operators), of(other)).map(([a, by, b]) => `(${a} ${by} ${b})`);
  const choice = fc.tuple(of('bool'), of(type), of(type)).map(([when, a, b]) => `(${when} ? ${a} : ${b})`);
  if (type === 'string') return [choice, pair('string', ['+'])];
  if (type === 'int')
    return [
      choice,
      pair('int', ['+', '-', '*', '/', '%']),
      of('string').map((a) => `size(${a})`),
      of('strings').map((a) => `${a}.size()`),
    ];
  if (type === 'double')
    return [
      choice,
      pair('double', ['+', '-', '*', '/']),
      of('int').map((a) => `double(${a})`),
      fc.tuple(of('doubles'), fc.integer({ min: 0, max: 3 })).map(([list, index]) => `${list}[${index}]`),
    ];
  if (type === 'bool') return [choice, ...conditionsOf(depth, bound, of, pair)];
  if (bound !== null) return [choice];
  const element: Typed = type === 'strings' ? 'string' : 'double';
  return [
    choice,
    fc.tuple(listOf(type, 0), expressionOf('bool', depth, element)).map(([list, test]) => `${list}.filter(x, ${test})`),
  ];
}

/** A list without a comprehension in it. */
function listOf(type: 'strings' | 'doubles', depth: number): fc.Arbitrary<string> {
  return expressionOf(type, depth, 'bool');
}

function conditionsOf(
  depth: number,
  bound: Typed | null,
  of: (type: Typed) => fc.Arbitrary<string>,
  pair: (inner: Typed, operators: readonly string[], other?: Typed) => fc.Arbitrary<string>,
): fc.Arbitrary<string>[] {
  const order = ['==', '!=', '<', '<=', '>', '>='];
  const quantified = (list: 'strings' | 'doubles', element: Typed): fc.Arbitrary<string> =>
    fc
      .tuple(listOf(list, 0), fc.constantFrom('all', 'exists', 'exists_one'), expressionOf('bool', depth, element))
      .map(([range, name, test]) => `${range}.${name}(x, ${test})`);
  return [
    of('bool').map((a) => `!(${a})`),
    pair('bool', ['&&', '||']),
    pair('bool', ['&&', '||']),
    pair('bool', ['==', '!=']),
    pair('string', order),
    pair('int', order),
    pair('double', order),
    // Past 2^53 the other one rounds the int first, and ours does not.
    fc.tuple(small, fc.constantFrom('<', '<=', '>', '>='), of('double')).map(([a, by, b]) => `(${a} ${by} ${b})`),
    fc.tuple(of('double'), fc.constantFrom('<', '<=', '>', '>='), small).map(([a, by, b]) => `(${a} ${by} ${b})`),
    pair('string', ['in'], 'strings'),
    pair('double', ['in'], 'doubles'),
    pair('strings', ['==', '!=']),
    of('string').map((a) => `(${a} in node.labels)`),
    fc.constantFrom('has(node.labels.rack)', 'has(node.labels.tier)'),
    fc
      .tuple(of('string'), fc.constantFrom('contains', 'startsWith', 'endsWith'), of('string'))
      .map(([a, name, b]) => `${a}.${name}(${b})`),
    ...(bound === null ? [quantified('strings', 'string'), quantified('doubles', 'double')] : []),
  ];
}

const valueOf: Readonly<Record<string, fc.Arbitrary<CelValue>>> = {
  string: word,
  int: fc.bigInt({ min: -2n, max: 9n }),
  double: fc.constantFrom(0, 0.5, 0.99, 1, 79.6, 80),
  bool: fc.boolean(),
  'list<string>': fc.array(word, { maxLength: 4 }),
  'list<double>': fc.array(fc.constantFrom(79.6, 80, 0.5), { maxLength: 4 }),
  'map<string, string>': fc.dictionary(fc.constantFrom('rack', 'tier', 'a', 'r7'), word, {
    maxKeys: 3,
    noNullPrototype: true,
  }),
};
const variables: fc.Arbitrary<Variables> = fc.record(
  Object.fromEntries(
    Object.entries(NODE_VARIABLES).map(([path, { type }]) => [path, valueOf[type] ?? fc.constant('')] as const),
  ),
  { requiredKeys: [] },
) as fc.Arbitrary<Variables>;

it('our CEL says what another CEL says, with any of its variables not known', () => {
  const said = { yes: 0, no: 0, unknown: 0 };
  fc.assert(
    fc.property(expressionOf('bool', 4, null), variables, (source, known) => {
      const expression = compiled(source);
      if (expression === undefined) return;
      const ours = expression.evaluate((path) => (Object.hasOwn(known, path) ? known[path] : undefined));
      said[ours === undefined ? 'unknown' : ours ? 'yes' : 'no'] += 1;
      expect({ source, known, value: ours }).toEqual({ source, known, value: theirs(source, known) });
    }),
    { numRuns: 3_000 },
  );
  // A generator that only makes one kind of answer would show nothing.
  expect(Math.min(said.yes, said.no, said.unknown)).toBeGreaterThan(100);
});

/** Undefined where the generator went past what policies may hold. */
function compiled(source: string): CelExpression | undefined {
  const result = compileCel(source, NODE_VARIABLES);
  if (result.ok) return result.expression;
  expect(result.message).toMatch(/exceed|at most|deeper|limit/i);
  return undefined;
}

/** The other implementation gets a tree in which what is not known is not there. */
function theirs(source: string, known: Variables): boolean | undefined {
  const root: Record<string, unknown> = {};
  for (const path of Object.keys(NODE_VARIABLES)) {
    const names = path.split('.');
    let at = root;
    for (const name of names.slice(0, -1)) at = at[name] = (at[name] ?? {}) as Record<string, unknown>;
    if (Object.hasOwn(known, path)) at[names.at(-1) ?? ''] = known[path];
  }
  const value = run(source, root as Parameters<typeof run>[1]);
  return isCelError(value) || typeof value !== 'boolean' ? undefined : value;
}
