/** A fault of a manifest, and what all steps of reading one share. */
export type ManifestErrorCode = 'syntax' | 'too_large' | 'unknown_key' | 'not_enforced' | 'invalid';
export interface ManifestError {
  readonly code: ManifestErrorCode;
  /** Dotted, for example `spec.nodes.location.in[0]`; empty for the document itself. */
  readonly path: string;
  /** 1-based; null where the fault has no place in the text. */
  readonly line: number | null;
  readonly message: string;
}
/** More than anybody corrects at once. */
export const MAX_ERRORS = 50;

export type Path = readonly (string | number)[];
export type LineOf = (path: Path) => number | null;
export type ManifestKind = 'Subcloud' | 'Network';

export function dotted(path: Path): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`),
    '',
  );
}

/** `, not VALUE`, cut; nothing for what is not there. */
export function seen(value: unknown): string {
  if (value === undefined) return '';
  return `, not ${quoted(value)}`;
}

export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

export function didYouMean(hint: string | undefined): string {
  return hint === undefined ? '' : `; did you mean ${hint}?`;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** What stands at a path; undefined where nothing does. */
export function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      inner !== null && typeof inner === 'object' && Object.hasOwn(inner, key)
        ? (inner as Record<string | number, unknown>)[key]
        : undefined,
    root,
  );
}
