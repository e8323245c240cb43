/**
 * Ollama: `/api/tags` lists, `/api/show` tells the rest, `/api/ps` the context that a running model was given.
 *
 * The digest of the list is that of a manifest, which also covers template and parameters: it changes with them, and
 * the same weights have another one elsewhere. It only tells here when a model must be asked about again. The digest of
 * the weights is the name of the one blob that the model is made FROM, which is the SHA-256 of the GGUF file. Where the
 * weights are several files, or an adapter changes them, no one digest pins them: unknown.
 */
import type { Modality } from '@subcloud/policy/scales';
import {
  type EngineMake,
  type ModelTraits,
  UNKNOWN_TRAITS,
  isRecord,
  leastOf,
  listOf,
  recordOf,
  tokensOf,
} from './engine-make.ts';
import { quantizationOf } from './quantization-names.ts';

/** Models asked about in one reading; the others follow in the next. */
const MAX_SHOWN = 64;
const MAX_KNOWN = 1024;

/** Remembers what it was told of each manifest, so that a hundred models are not a hundred questions a minute. */
export function createOllama(): EngineMake {
  const shown = new Map<string, ModelTraits>();
  /** What a model was last loaded with: it outlives the model's leaving memory, so that the fact does not flap. */
  const given = new Map<string, number>();
  return {
    name: 'Ollama',
    looksLike: (listed) => listed.some(({ entry }) => entry['owned_by'] === 'library'),
    async read(_listed, ask) {
      const models = listOf(recordOf(await ask('/api/tags'))['models']).flatMap(tagOf);
      if (models.length === 0) return undefined;
      const version = recordOf(await ask('/api/version'))['version'];
      if (typeof version !== 'string') return undefined;
      const manifests = new Set(models.map(({ manifest }) => manifest));
      for (const store of [shown, given]) {
        for (const manifest of store.keys()) if (!manifests.has(manifest)) store.delete(manifest);
      }
      let asked = 0;
      for (const { name, manifest, remote } of models) {
        if (remote || shown.has(manifest) || shown.size >= MAX_KNOWN || asked >= MAX_SHOWN) continue;
        asked++;
        const answer = await ask('/api/show', { body: { model: name } });
        if (isRecord(answer)) shown.set(manifest, traitsOf(answer));
      }
      for (const running of listOf(recordOf(await ask('/api/ps'))['models'])) {
        const { digest, context_length: tokens } = recordOf(running);
        const contextLength = tokensOf(tokens);
        if (typeof digest === 'string' && manifests.has(digest) && contextLength !== null) {
          given.set(digest, contextLength);
        }
      }
      return {
        traits: new Map(
          models.map(({ name, manifest }) => {
            const traits = shown.get(manifest) ?? UNKNOWN_TRAITS;
            return [name, { ...traits, contextLength: leastOf(traits.contextLength, given.get(manifest) ?? null) }];
          }),
        ),
        elsewhere: new Set(models.filter(({ remote }) => remote).map(({ name }) => name)),
      };
    },
  };
}

/** A model of the list; llama.cpp answers the same question without digests. */
function tagOf(entry: unknown): { readonly name: string; readonly manifest: string; readonly remote: boolean }[] {
  const { name, digest, remote_host: remoteHost, remote_model: remoteModel } = recordOf(entry);
  if (typeof name !== 'string' || typeof digest !== 'string' || !/^(sha256:)?[0-9a-f]{64}$/.test(digest)) return [];
  return [{ name, manifest: digest, remote: isNamed(remoteHost) || isNamed(remoteModel) }];
}

function isNamed(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function traitsOf(answer: Readonly<Record<string, unknown>>): ModelTraits {
  const info = recordOf(answer['model_info']);
  const architecture = info['general.architecture'];
  const trained = typeof architecture === 'string' ? tokensOf(info[`${architecture}.context_length`]) : null;
  return {
    digest: weightsDigestOf(answer['modelfile']),
    quantization: quantizationOf(recordOf(answer['details'])['quantization_level']),
    modalities: modalitiesOf(answer['capabilities']),
    contextLength: leastOf(trained, askedContextOf(answer['parameters'])),
  };
}

/** `num_ctx` of the model's own parameters. */
function askedContextOf(parameters: unknown): number | null {
  const found = typeof parameters === 'string' ? /^num_ctx +(\d{1,10})\s*$/m.exec(parameters) : null;
  return found === null ? null : tokensOf(Number(found[1]));
}

function weightsDigestOf(modelfile: unknown): string | null {
  if (typeof modelfile !== 'string') return null;
  // A system prompt or template in quotes may hold lines that look like instructions.
  const instructions = modelfile.replace(/"""[\s\S]*?"""/g, '""');
  if (/^ADAPTER\s/m.test(instructions)) return null;
  const sources = [...instructions.matchAll(/^FROM\s+(\S.*)$/gm)].map(([, source]) => source?.trim() ?? '');
  const [source] = sources;
  const blob =
    sources.length === 1 && source !== undefined ? /(?:^|[/\\])sha256[-:]([0-9a-f]{64})$/.exec(source) : null;
  return blob === null ? null : `sha256:${blob[1]}`;
}

function modalitiesOf(capabilities: unknown): readonly Modality[] | null {
  const words = listOf(capabilities);
  const found: readonly Modality[] = [
    ...(words.includes('completion') ? (['text'] as const) : []),
    ...(words.includes('vision') ? (['image'] as const) : []),
    ...(words.includes('audio') ? (['audio'] as const) : []),
    ...(words.includes('embedding') ? (['embedding'] as const) : []),
  ];
  return found.length === 0 ? null : found;
}
