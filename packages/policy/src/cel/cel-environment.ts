/** The evaluator's environment for a table: one class a group of variables, whose fields ask the reader of the moment. */
import { Environment } from '@marcbachmann/cel-js';
import { CEL_TYPES, type CelReader, type CelTable, type CelType, type CelValue, fieldsOf } from './cel-table.ts';
import { MAX_LIST_LENGTH, MAX_TEXT_LENGTH } from './cel-limits.ts';

/** Thrown inside an evaluation by a field that is not known; `&&` and `||` may still decide without it. */
class UnknownVariable extends Error {}

export interface CelEnvironment {
  readonly environment: Environment;
  /** Runs one evaluation with this reader; undefined where it has no value. */
  readonly run: (evaluate: (context: Record<string, unknown>) => unknown, read: CelReader) => boolean | undefined;
}

const environments = new WeakMap<CelTable, CelEnvironment>();

/** Made once for each table. */
export function environmentOf(table: CelTable): CelEnvironment {
  const known = environments.get(table);
  if (known !== undefined) return known;
  const made = makeEnvironment(table);
  environments.set(table, made);
  return made;
}

function makeEnvironment(table: CelTable): CelEnvironment {
  const environment = new Environment({
    limits: { maxAstNodes: 256, maxDepth: 32, maxListElements: 64, maxMapEntries: 1, maxCallArguments: 3 },
  });
  // Evaluations do not nest and do not wait, so one variable holds whose facts are read.
  let reader: CelReader = () => undefined;
  const read = (path: string, type: CelType): unknown => {
    const value = reader(path);
    if (value === undefined || !fits(type, value)) throw new UnknownVariable(path);
    return value;
  };
  const group = (prefix: string): { readonly typeName: string; readonly instance: object } => {
    const typeName = prefix.replace(/(?:^|\.)([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const Group = class {};
    const fields: Record<string, string> = {};
    for (const field of fieldsOf(table, prefix)) {
      const path = `${prefix}.${field}`;
      const variable = Object.hasOwn(table, path) ? table[path] : undefined;
      if (variable === undefined) {
        const { typeName: inner, instance } = group(path);
        fields[field] = inner;
        Object.defineProperty(Group.prototype, field, { value: instance });
      } else {
        fields[field] = variable.type;
        Object.defineProperty(Group.prototype, field, { get: () => read(path, variable.type) });
      }
    }
    environment.registerType(typeName, { ctor: Group, fields });
    return { typeName, instance: new Group() };
  };
  const context: Record<string, unknown> = {};
  for (const root of fieldsOf(table, '')) {
    const { typeName, instance } = group(root);
    environment.registerVariable(root, typeName);
    context[root] = instance;
  }
  return {
    environment,
    run: (evaluate, newReader) => {
      reader = newReader;
      try {
        const value = evaluate(context);
        return typeof value === 'boolean' ? value : undefined;
      } catch {
        return undefined;
      } finally {
        reader = () => undefined;
      }
    },
  };
}

const isText = (value: unknown): boolean => typeof value === 'string' && value.length <= MAX_TEXT_LENGTH;
const isSmall = (value: object): boolean => {
  const entries = Object.values(value);
  return entries.length <= MAX_LIST_LENGTH && entries.every(isText);
};
const FITS: Readonly<Record<CelType, (value: CelValue) => boolean>> = {
  string: isText,
  int: (value) => typeof value === 'bigint',
  double: (value) => typeof value === 'number',
  bool: (value) => typeof value === 'boolean',
  'list<string>': (value) => Array.isArray(value) && value.length <= MAX_LIST_LENGTH && value.every(isText),
  'list<double>': (value) =>
    Array.isArray(value) && value.length <= MAX_LIST_LENGTH && value.every((each) => typeof each === 'number'),
  'map<string, string>': (value) => typeof value === 'object' && !Array.isArray(value) && isSmall(value),
};

function fits(type: CelType, value: CelValue): boolean {
  return CEL_TYPES.includes(type) && FITS[type](value);
}
