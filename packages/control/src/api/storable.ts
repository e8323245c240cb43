import { AppError } from '@subcloud/contract/errors';

/** PostgreSQL stores neither U+0000 nor half a surrogate pair: whatever route it is, such a text is refused at its door. */
export function requireStorable(value: unknown, where: string): void {
  const waiting: unknown[] = [value];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (typeof at === 'string') {
      if (isStorable(at)) continue;
      throw new AppError('client.invalid_request', {
        message: `${where}: a text holds U+0000 or half a surrogate pair, which cannot be stored.`,
      });
    }
    if (at === null || typeof at !== 'object') continue;
    for (const [key, inner] of Object.entries(at)) waiting.push(key, inner ?? null);
  }
}

function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
