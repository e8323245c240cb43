/**
 * The body is scanned here again, although the gateway has done so: an engine acts on the body and not on the header, so
 * a label that differs from the body would be a way around the lock.
 */
import { type ScanResult, scanTopLevel, scanTopLevelInTurns } from '@subcloud/contract/body-scan';
import { AppError } from '@subcloud/contract/errors';
import { READ_BODY_KEYS } from '@subcloud/contract/inference';
import { joinInTurns, nextTurn } from '@subcloud/kit/turns';
import { LockRefusal } from './refusal.ts';

/** Where the value of `model` stands, in bytes. */
export interface ModelSpan {
  readonly start: number;
  readonly end: number;
}

/** A larger body is read and changed without holding up everything else. */
const LARGE_BODY_BYTES = 262_144;

/** Rejects with AppError (400) for a body that two readers could understand differently, LockRefusal for another model. */
export async function checkBody(body: Uint8Array, model: string): Promise<ModelSpan> {
  return body.byteLength <= LARGE_BODY_BYTES
    ? spanOf(scanTopLevel(body, READ_BODY_KEYS), model)
    : spanOf(await scanTopLevelInTurns(body, READ_BODY_KEYS, nextTurn), model);
}

function spanOf(scanned: ScanResult, model: string): ModelSpan {
  if (!scanned.ok) {
    if (scanned.reason === 'duplicate_key' || scanned.reason === 'case_variant') {
      throw new AppError('client.ambiguous_body', { param: scanned.key ?? 'model' });
    }
    throw new AppError('client.invalid_body');
  }
  const value = scanned.values.get('model');
  if (value?.string === undefined) throw new AppError('client.model_required', { param: 'model' });
  if (value.string !== model) throw new LockRefusal('The body names another model than its label.');
  return { start: value.start, end: value.end };
}

/** The same body with the engine's own name for the model; every other byte as the caller wrote it. */
export function withEngineName(body: Buffer, { start, end }: ModelSpan, name: string): Promise<Buffer> {
  const named = Buffer.from(JSON.stringify(name));
  const pieces = [body.subarray(0, start), named, body.subarray(end)];
  return joinInTurns(pieces, body.byteLength - (end - start) + named.byteLength);
}
