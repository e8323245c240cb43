/**
 * What engines say to a path that they do not have differs from make to make (404, 405, 501), and reads as if the model
 * were gone. Where every node that was asked said so, the caller is told what it is: this model is not served that way.
 */
import { AppError } from '@subcloud/contract/errors';
import type { Served } from './serve.ts';

const CHAT_PATH = '/v1/chat/completions';
const NOT_IMPLEMENTED = 501;

/** Throws `client.unsupported_operation`. */
export function refuseUnsupported(path: string, { outcome, model }: Pick<Served, 'outcome' | 'model'>): void {
  if (outcome.kind !== 'refused') return;
  const { status } = outcome;
  // Every engine has chat: there a 404 is about the model, and the engine's own words say so.
  const isUnknownPath = path !== CHAT_PATH && (status === 404 || status === 405);
  if (!isUnknownPath && status !== NOT_IMPLEMENTED) return;
  throw new AppError('client.unsupported_operation', {
    message: `The nodes that serve ${model} here do not offer ${path} for it.`,
    param: 'model',
  });
}
