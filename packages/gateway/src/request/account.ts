/** Usage of one answer, written before its end is sent. */
import type { UsageRecord } from '@subcloud/contract/watch';
import type { AnswerParts } from '../continuation/answer-parts.ts';
import type { RequestDeps } from './request-deps.ts';
import type { RequestIdentity } from './identify.ts';
import type { TakenLimits } from './limit.ts';
import { pseudonymOf } from './pseudonym.ts';
import type { Served } from './serve.ts';

interface Accounted extends Pick<Served, 'admission' | 'picked' | 'outcome' | 'continuedFrom'> {
  readonly answer: Pick<Served['answer'], 'tokens' | 'contentHash'> & { readonly parts?: AnswerParts };
  readonly request: Served['request'];
}

function receiptOf({ admission, picked, answer, outcome, request }: Accounted): Pick<UsageRecord, 'receipt'> {
  const isWhole = outcome.kind === 'answered';
  const parts = answer.parts?.end();
  return {
    receipt: {
      node: pseudonymOf(admission.pool, picked.chosen.member),
      revision: admission.pool.revision,
      effectiveHash: admission.pool.effectiveHash,
      tableVersion: admission.table.version,
      request,
      answer: isWhole ? answer.contentHash() : null,
      ...(isWhole ? {} : { broken: true as const }),
      ...(parts === undefined ? {} : { parts: [...parts] }),
    },
  };
}

/** Resolves with false where the record could not be written: then the answer must not end as a whole one. */
export function account(
  deps: RequestDeps,
  identity: RequestIdentity,
  model: string,
  served: Accounted,
  status: number,
  taken: TakenLimits,
): Promise<boolean> {
  const { admission, picked, answer, outcome, continuedFrom } = served;
  const { node } = picked.chosen.member;
  // The last one that broke off may be the one that is named already.
  const earlier = [...new Set(continuedFrom)].filter((id) => id !== node);
  const tokens = answer.tokens(outcome.kind === 'answered');
  taken.usedTokens = tokens.promptTokens + tokens.completionTokens;
  return new Promise((resolve) => {
    deps.journal.append(
      {
        requestId: identity.requestId,
        atMs: Math.round(identity.atMs),
        principal: admission.credential.principal,
        credential: admission.credential.id,
        pool: admission.pool.name,
        model,
        node,
        ...(earlier.length === 0 ? {} : { continuedFrom: earlier }),
        promptTokens: tokens.promptTokens,
        completionTokens: tokens.completionTokens,
        estimated: tokens.estimated,
        status,
        durationMs: deps.clock.monotonicMs() - identity.startedMs,
        ...receiptOf(served),
      },
      resolve,
    );
  });
}
