/** Reads fields of a JSON body; what is wrong with one is an ApiError that names it. */
import { ApiError } from './api-error.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function objectAt(value: unknown, name: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new ApiError(400, `${name} must be a JSON object.`, { code: 'invalid_value' });
}

export function textIn(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '') return value;
  throw refused(name, 'it must be a text');
}

export function booleanIn(fields: Fields, name: string): boolean | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined || typeof value === 'boolean') return value;
  throw refused(name, 'it must be true or false');
}

export function numberIn(fields: Fields, name: string, min: number, max: number, whole = false): number | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
  throw refused(name, `it must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}`);
}

export function refused(param: string, why: string): ApiError {
  return new ApiError(400, `Invalid '${param}': ${why}.`, { code: 'invalid_value', param });
}
