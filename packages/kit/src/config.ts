/**
 * One schema a service gives environment variable, flag, default, help and type. All faults are reported at once, and
 * nothing else reads `process.env`. Options marked secret never reach argv, help defaults or logs.
 */
import type * as z from 'zod';

export interface OptionSpec {
  readonly schema: z.ZodType;
  /** One line for `--help`; names the unit. */
  readonly help: string;
  readonly secret?: boolean;
  /** Flag without a value. */
  readonly boolean?: boolean;
}
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;
export type ConfigOf<Specs extends OptionSpecs> = { readonly [Name in keyof Specs]: z.infer<Specs[Name]['schema']> };

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** `dataDir` -> `--data-dir`. */
export function flagName(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
/** `dataDir` -> `SUBCLOUD_DATA_DIR`. */
export function envName(option: string): string {
  return `SUBCLOUD_${option.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Flags win over the environment, that over defaults. Throws ConfigError with every fault. */
export function loadConfig<Specs extends OptionSpecs>(
  specs: Specs,
  given: {
    readonly flags?: Readonly<Record<string, unknown>>;
    readonly env?: Readonly<Record<string, string | undefined>>;
  },
): ConfigOf<Specs> {
  const faults: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const flag = given.flags?.[name];
    const fromEnv = given.env?.[envName(name)];
    const raw =
      flag ??
      (fromEnv === undefined || fromEnv === ''
        ? undefined
        : spec.boolean === true
          ? fromEnv !== 'false' && fromEnv !== '0'
          : fromEnv);
    const parsed = spec.schema.safeParse(raw);
    if (parsed.success) config[name] = parsed.data;
    else
      faults.push(
        `${flag === undefined && raw !== undefined ? envName(name) : flagName(name)}: ${parsed.error.issues[0]?.message ?? 'invalid'}${raw === undefined || spec.secret === true ? '' : ` (${JSON.stringify(raw)})`}. ${spec.help}`,
      );
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return config as ConfigOf<Specs>;
}
