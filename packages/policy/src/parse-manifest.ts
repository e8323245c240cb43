/**
 * YAML or JSON text to a manifest, or every fault in it with path, line and what to do. Total: never throws on input.
 */
import { type NetworkManifest, type SubcloudManifest, networkManifest, subcloudManifest } from './manifest.ts';
import { contradictions, unknownPlaces } from './parse-manifest-checks.ts';
import {
  type LineOf,
  MAX_ERRORS,
  type ManifestError,
  type ManifestKind,
  isRecord,
  seen,
} from './parse-manifest-error.ts';
import { errorsOfIssue } from './parse-manifest-issues.ts';
import { notEnforced } from './parse-manifest-not-enforced.ts';
import { readText } from './parse-manifest-text.ts';
import { BUILT_IN_PLACES, type PlaceRegistry } from './place-registry.ts';

export type { ManifestError, ManifestErrorCode } from './parse-manifest-error.ts';
export { MAX_MANIFEST_BYTES } from './parse-manifest-text.ts';

export type ParsedManifest =
  | { readonly ok: true; readonly kind: 'Subcloud'; readonly manifest: SubcloudManifest }
  | { readonly ok: true; readonly kind: 'Network'; readonly manifest: NetworkManifest }
  | { readonly ok: false; readonly errors: readonly ManifestError[] };

export interface ParseOptions {
  /** Places and domains that the manifest may name; default: the built-in ones. */
  readonly registry?: PlaceRegistry;
}

/** Parses one document of at most 256 KiB. */
export function parseManifest(text: string, { registry = BUILT_IN_PLACES }: ParseOptions = {}): ParsedManifest {
  const read = readText(text);
  if (!read.ok) return failed([read.error]);
  const { value, lineOf } = read;
  if (!isRecord(value)) {
    return failed([
      { code: 'invalid', path: '', line: 1, message: 'a manifest is a map with apiVersion, kind, metadata and spec' },
    ]);
  }
  const kind = value['kind'];
  if (kind !== 'Subcloud' && kind !== 'Network') {
    const message = `kind must be Subcloud or Network${seen(kind)}`;
    return failed([{ code: 'invalid', path: 'kind', line: lineOf(['kind']) ?? 1, message }]);
  }
  const refused = notEnforced(value, kind, lineOf);
  return judged(value, kind, refused, lineOf, registry);
}

function judged(
  value: Record<string, unknown>,
  kind: ManifestKind,
  refused: readonly ManifestError[],
  lineOf: LineOf,
  registry: PlaceRegistry,
): ParsedManifest {
  const errors: ManifestError[] = [...refused, ...unknownPlaces(value, lineOf, registry)];
  const result = kind === 'Subcloud' ? subcloudManifest.safeParse(value) : networkManifest.safeParse(value);
  if (!result.success) {
    for (const issue of result.error.issues) errors.push(...errorsOfIssue(issue, value, kind, lineOf));
    return failed(withoutRepeats(errors, refused));
  }
  // What contradicts itself can only be seen in a manifest whose words are all understood.
  if (errors.length === 0) errors.push(...contradictions(result.data, lineOf, registry));
  if (errors.length > 0) return failed(withoutRepeats(errors, refused));
  return kind === 'Subcloud'
    ? { ok: true, kind, manifest: result.data as SubcloudManifest }
    : { ok: true, kind, manifest: result.data as NetworkManifest };
}

function failed(errors: readonly ManifestError[]): ParsedManifest {
  return { ok: false, errors: [...errors].sort((a, b) => (a.line ?? 0) - (b.line ?? 0)).slice(0, MAX_ERRORS) };
}

/** A path that is refused as a whole needs no second error from the schema about the same path or below it. */
function withoutRepeats(errors: readonly ManifestError[], refused: readonly ManifestError[]): ManifestError[] {
  const taken = new Set<string>();
  return errors.filter((error) => {
    const covered =
      !refused.includes(error) && refused.some(({ path }) => error.path === path || error.path.startsWith(`${path}.`));
    const key = `${error.path}\n${error.message}`;
    if (covered || taken.has(key)) return false;
    taken.add(key);
    return true;
  });
}
