/** What a credential itself is narrowed to: paths and models, whatever its account or pool would allow. */
import { AppError } from '@subcloud/contract/errors';
import { API_SCOPE_PATH } from '@subcloud/contract/inference';
import type { CredentialRow } from '@subcloud/contract/table';
import type { TokenScope } from '@subcloud/contract/vocabulary';
import { compileGlob } from '@subcloud/policy/glob';

const SCOPES: ReadonlyMap<string, TokenScope> = new Map([
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'completions'],
  ['/v1/embeddings', 'embeddings'],
  ['/v1/models', 'models'],
  [API_SCOPE_PATH, 'apis'],
]);

/** Throws `policy.forbidden`. A path that no scope names is open to credentials without scopes alone. */
export function requireScope({ scopes }: CredentialRow, path: string): void {
  if (scopes === undefined) return;
  const scope = SCOPES.get(path);
  if (scope !== undefined && scopes.includes(scope)) return;
  throw new AppError('policy.forbidden', { message: `This token may be used for ${scopes.join(', ')} only.` });
}

const compiled = new WeakMap<CredentialRow, readonly ((name: string) => boolean)[]>();

/** Whether it may name a model, by any of the model's names. */
export function mayUseModel(credential: CredentialRow, names: readonly string[]): boolean {
  if (credential.models === undefined) return true;
  let globs = compiled.get(credential);
  if (globs === undefined) {
    globs = credential.models.map(compileGlob);
    compiled.set(credential, globs);
  }
  return globs.some((matches) => names.some(matches));
}
