/**
 * `agent.yaml`: the operator's word in a file. Strict: a key that is not known, a wrong unit or a second document is an
 * error that names the path and the line, and nothing of a faulty file is used.
 */
import { consentSchema, labelsSchema, modelId } from '@subcloud/contract/vocabulary';
import { apiName } from '@subcloud/policy/internal-api';
import { MODALITIES } from '@subcloud/policy/scales';
import { closest } from '@subcloud/policy/suggest';
import * as z from 'zod';
import { yaml } from './lazy-yaml.ts';

export const AGENT_FILE_MAX_BYTES = 262_144;

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
  .max(512)
  .refine((text) => URL.canParse(text) && new URL(text).username === '' && new URL(text).search === '', {
    error: 'must have no credentials and no query',
  });
export const networkUrl = httpUrl;
export const joinToken = z.string().min(1).max(256);
export const machineName = z.string().min(1).max(128);
export const labels = labelsSchema;
export const location = z.strictObject({
  country: z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166-1 country in capitals, for example DE'),
  subdivision: z
    .string()
    .regex(/^[A-Z]{2}-[A-Z0-9]{1,3}$/, 'must be an ISO 3166-2 subdivision, for example DE-BY')
    .optional(),
});
export const consent = consentSchema;
export const concurrency = z.int().min(1).max(100_000);
const engine = z.strictObject({
  url: httpUrl,
  /** Sent to this engine as a bearer token, and to nobody else. */
  apiKey: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')
    .optional(),
  /** From the engine's names to network ids. Names that are not listed stand as the engine reports them. */
  models: z.record(z.string().min(1).max(256), modelId).default({}),
  /** By the engine's name of a model, what it takes, for engines that do not say (vLLM): the operator's word. */
  modalities: z.record(z.string().min(1).max(256), z.array(z.enum(MODALITIES)).min(1).max(8)).optional(),
  /**
   * Whether it goes on with an assistant's message where that ends (`continue_final_message`); for engines that the agent
   * does not know. Left out: as the make is known to do.
   */
  continues: z.boolean().optional(),
});
export const hardware = z.enum(['auto', 'none'], { error: 'must be `auto` or `none`' });
export const engines = z.union([z.literal('auto'), z.array(engine).max(32)], {
  error: (issue) => (Array.isArray(issue.input) ? undefined : 'must be `auto` or a list of engines, each with its url'),
});
/** Internal HTTP APIs that this machine hosts, for the Subclouds whose manifests name them. Paths go below `url`. */
export const apis = z
  .array(z.strictObject({ name: apiName, url: httpUrl }))
  .max(32)
  .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'two APIs have one name');
export type EngineSpec = z.infer<typeof engine>;
export type Location = z.infer<typeof location>;

export const agentFileSchema = z.strictObject({
  url: networkUrl.optional(),
  joinToken: joinToken.optional(),
  name: machineName.optional(),
  engines: engines.optional(),
  apis: apis.optional(),
  hardware: hardware.optional(),
  labels: labels.optional(),
  location: location.optional(),
  consent: consent.optional(),
  concurrency: concurrency.optional(),
});
export type AgentFile = z.infer<typeof agentFileSchema>;

export type ParsedAgentFile =
  | { readonly ok: true; readonly file: AgentFile }
  /** Each fault as `line 3, engines.0.url: …`. */
  | { readonly ok: false; readonly faults: readonly string[] };

/** Total: whatever the text is, the answer is a file or its faults. */
export function parseAgentFile(text: string): ParsedAgentFile {
  if (Buffer.byteLength(text) > AGENT_FILE_MAX_BYTES) {
    return { ok: false, faults: [`the file is larger than ${AGENT_FILE_MAX_BYTES} bytes`] };
  }
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const lineAt = (offset: number | undefined): string =>
    offset === undefined ? '' : `line ${lines.linePos(offset).line}, `;
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) return { ok: false, faults: broken.map(({ pos, message }) => `${lineAt(pos[0])}${message}`) };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 50 }) ?? {};
  } catch (error) {
    return { ok: false, faults: [error instanceof Error ? error.message : 'the file cannot be read'] };
  }
  const parsed = agentFileSchema.safeParse(value);
  if (parsed.success) return { ok: true, file: parsed.data };
  const faults = parsed.error.issues
    .flatMap((issue) => flatten(issue, []))
    .map(({ path, message, key }) => {
      const at = offsetOf(document.contents, key === undefined ? path : [...path, key]);
      return `${lineAt(at)}${path.length === 0 ? '' : `${path.join('.')}: `}${message}`;
    });
  return { ok: false, faults };
}

type Path = readonly PropertyKey[];
interface Fault {
  readonly path: Path;
  readonly message: string;
  /** The unknown key itself, which is where the line is. */
  readonly key?: string;
}

const KNOWN_KEYS: readonly string[] = [
  ...Object.keys(agentFileSchema.shape),
  ...Object.keys(engine.shape),
  ...Object.keys(location.shape),
  ...Object.keys(consentSchema.shape),
  'owners',
  'name',
];

function flatten(issue: z.core.$ZodIssue, prefix: Path): Fault[] {
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const near = closest(key, KNOWN_KEYS);
      const hint = near === undefined || near === key ? '' : `; did you mean ${near}?`;
      return { path, key, message: `the key ${JSON.stringify(key)} is not known here${hint}` };
    });
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // The variant that came furthest is the one that was meant.
    const depth = (issues: readonly z.core.$ZodIssue[]): number => Math.max(0, ...issues.map((one) => one.path.length));
    const meant = [...issue.errors].sort((a, b) => depth(b) - depth(a))[0] ?? [];
    if (depth(meant) > 0 || meant.some(({ code }) => code === 'unrecognized_keys'))
      return meant.flatMap((one) => flatten(one, path));
  }
  return [{ path, message: issue.message }];
}

/** Where the last step of the path that exists starts: a key where it has one, else the list's item. */
function offsetOf(contents: unknown, path: Path): number | undefined {
  const { isNode } = yaml();
  let at = contents;
  let offset = isNode(at) ? at.range?.[0] : undefined;
  for (const step of path) {
    const child = childOf(at, step);
    if (child === undefined) break;
    offset = child.start ?? offset;
    at = child.node;
  }
  return offset;
}

function childOf(
  node: unknown,
  step: PropertyKey,
): { readonly node: unknown; readonly start?: number | undefined } | undefined {
  const { isMap, isNode, isScalar, isSeq } = yaml();
  if (isSeq(node)) {
    const item = node.items[Number(step)];
    return isNode(item) ? { node: item, start: item.range?.[0] } : undefined;
  }
  if (!isMap(node)) return undefined;
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
  return pair === undefined || !isNode(pair.key) ? undefined : { node: pair.value, start: pair.key.range?.[0] };
}
