import type { Readable } from 'node:stream';
import { MAX_MANIFEST_BYTES, type ManifestError, type ParsedManifest, parseManifest } from '@subcloud/sdk/manifest';
import type { PlaceRegistry } from '@subcloud/sdk/places';
import { CliError } from './cli-error.ts';
import { readInput } from './read-input.ts';

/** One document of a file, checked here as control will check it. */
export interface ManifestDocument {
  readonly file: string;
  /** Lines of the file before the document. */
  readonly linesBefore: number;
  readonly text: string;
  readonly parsed: Extract<ParsedManifest, { ok: true }>;
}

/** A fault as control and the parser tell it. */
export type ManifestFault = Pick<ManifestError, 'path' | 'line' | 'message'>;

const MAX_DOCUMENTS = 64;

/** Every document of every file, or one CliError that lists all their faults: nothing is sent while one has a fault. */
export async function readManifests(
  files: readonly string[],
  stdin: Readable,
  registry?: () => Promise<PlaceRegistry>,
): Promise<ManifestDocument[]> {
  const parse = placesAware(registry);
  const documents: ManifestDocument[] = [];
  const faults: string[] = [];
  for (const file of files) {
    const text = await readInput(file, stdin, MAX_MANIFEST_BYTES * 4);
    const parts = splitDocuments(text);
    if (parts.length === 0) faults.push(`${shown(file)} holds no manifest`);
    for (const part of parts.slice(0, MAX_DOCUMENTS)) {
      const parsed = await parse(part.text);
      if (parsed.ok) documents.push({ file, ...part, parsed });
      else faults.push(...faultLines({ file, linesBefore: part.linesBefore }, parsed.errors));
    }
    if (parts.length > MAX_DOCUMENTS) faults.push(`${shown(file)} holds more than ${MAX_DOCUMENTS} manifests`);
  }
  if (faults.length === 0) faults.push(...repeatedNames(documents));
  if (faults.length > 0) throw invalidManifests(faults);
  return documents;
}

/** Asks which domains the network has only where a manifest names a place that is not built in. */
function placesAware(registry: (() => Promise<PlaceRegistry>) | undefined): (text: string) => Promise<ParsedManifest> {
  let known: PlaceRegistry | undefined;
  return async (text) => {
    const parsed = parseManifest(text, known === undefined ? {} : { registry: known });
    const asks = registry !== undefined && known === undefined && !parsed.ok && parsed.errors.some(namesNoPlace);
    if (!asks) return parsed;
    // A network that does not answer makes the fault no other: what is built in is all that is known here.
    known = await registry().catch(() => undefined);
    return known === undefined ? parsed : parseManifest(text, { registry: known });
  };
}

function namesNoPlace({ message }: ManifestError): boolean {
  return message.includes('is no place');
}

/** `FILE:LINE path message`, one line a fault. */
export function faultLines(
  { file, linesBefore }: Pick<ManifestDocument, 'file' | 'linesBefore'>,
  faults: readonly ManifestFault[],
): string[] {
  return faults.map(({ path, line, message }) => {
    const where = line === null ? shown(file) : `${shown(file)}:${line + linesBefore}`;
    return path === '' ? `${where} ${message}` : `${where} ${path} ${message}`;
  });
}

export function invalidManifests(faults: readonly string[]): CliError {
  return new CliError({
    code: 'config.invalid_manifest',
    message: `${faults.length === 1 ? 'The manifest has a fault' : `There are ${faults.length} faults`}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    next: 'Correct these lines and apply again; nothing was changed.',
    details: faults,
  });
}

/**
 * The documents of a YAML text, each with the number of lines before it. A line that begins with `---` begins a document
 * wherever it stands, also inside a block scalar (YAML 1.2, 9.1.2), so that no parser is needed to find them.
 */
export function splitDocuments(text: string): { readonly text: string; readonly linesBefore: number }[] {
  const parts: { text: string; linesBefore: number }[] = [];
  let lines: string[] = [];
  let linesBefore = 0;
  const end = (): void => {
    if (lines.some((line) => /^\s*[^\s#]/.test(line))) parts.push({ text: lines.join('\n'), linesBefore });
  };
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (!/^---(?:\s|$)/.test(line)) {
      lines.push(line);
      continue;
    }
    end();
    // What stands behind the dashes belongs to the document; blanks in their place keep its columns.
    lines = [`   ${line.slice(3)}`.trimEnd()];
    linesBefore = index;
  }
  end();
  return parts;
}

function repeatedNames(documents: readonly ManifestDocument[]): string[] {
  const seen = new Map<string, string>();
  const faults: string[] = [];
  for (const { file, linesBefore, parsed } of documents) {
    const name = `${parsed.kind} ${parsed.manifest.metadata.name}`;
    const where = `${shown(file)}:${linesBefore + 1}`;
    const earlier = seen.get(name);
    if (earlier === undefined) seen.set(name, where);
    else faults.push(`${where} ${name} stands in ${earlier} already`);
  }
  return faults;
}

function shown(file: string): string {
  return file === '-' ? 'stdin' : file;
}
