import { NOT_ENFORCED, VALUES_NOT_ENFORCED } from './not-enforced.ts';
import {
  type LineOf,
  MAX_ERRORS,
  type ManifestError,
  type ManifestKind,
  type Path,
  dotted,
  isRecord,
} from './parse-manifest-error.ts';

/** Every path and value that the format defines and this build does not enforce. */
export function notEnforced(value: unknown, kind: ManifestKind, lineOf: LineOf): ManifestError[] {
  const errors: ManifestError[] = [];
  const add = (path: Path, what: string): void => {
    if (errors.length >= MAX_ERRORS) return;
    errors.push({
      code: 'not_enforced',
      path: dotted(path),
      line: lineOf(path),
      message: `${what} is not enforced by this build: remove it, nothing is accepted and ignored`,
    });
  };
  const visit = (at: unknown, path: Path): void => {
    const pattern = dotted(path).replace(/\[\d+\]/g, '[]');
    if (path.length > 0 && NOT_ENFORCED[kind].has(pattern)) return add(path, pattern.replaceAll('[]', ''));
    if (typeof at === 'string') {
      if (VALUES_NOT_ENFORCED.get(pattern)?.has(at) === true) add(path, `${pattern}: ${at}`);
    } else if (Array.isArray(at)) at.forEach((entry, index) => visit(entry, [...path, index]));
    else if (isRecord(at)) for (const [key, entry] of Object.entries(at)) visit(entry, [...path, key]);
  };
  visit(value, []);
  return errors;
}
