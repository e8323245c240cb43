/**
 * Typed tables of variables: what an expression may name, of which type, and what it means. A table is the whole
 * language's link to the world, so an expression can read nothing that is not written down in one.
 */
export const CEL_TYPES = [
  'string',
  'int',
  'double',
  'bool',
  'list<string>',
  'list<double>',
  'map<string, string>',
] as const;
export type CelType = (typeof CEL_TYPES)[number];

export interface CelVariable {
  readonly type: CelType;
  readonly about: string;
}

/** Dotted path, for example `node.location.country`, to what stands there. No path continues another. */
export type CelTable = Readonly<Record<string, CelVariable>>;

/** `int` is a bigint, `double` a number. */
export type CelValue =
  | string
  | bigint
  | number
  | boolean
  | readonly string[]
  | readonly number[]
  | Readonly<Record<string, string>>;
/** Undefined: not known, which makes whatever needs it unknown. */
export type CelReader = (path: string) => CelValue | undefined;

/** The names that may follow a prefix of paths: `node.gpu` has count, models, …; empty where nothing starts so. */
export function fieldsOf(table: CelTable, prefix: string): readonly string[] {
  const start = prefix === '' ? '' : `${prefix}.`;
  const paths = Object.keys(table).filter((path) => path.startsWith(start));
  return [...new Set(paths.map((path) => path.slice(start.length).split('.')[0] ?? ''))];
}
