/** What the end of a try says of the node: whose fault it was, and whether the request itself may have ended an engine. */
import { LINK_CANNOT_CONTINUE, LINK_ENGINE_ENDED, LINK_HEADERS } from '@subcloud/contract/link';
import type { NodeLink } from '../link/node-link.ts';
import type { Judgement } from '../schedule/node-stats.ts';
import { type AttemptOutcome, CANNOT_CONTINUE, type Refusal } from './attempt.ts';

/** `saidSomething`: the answer had a token at all; a 200 without one is no service. */
export function judgeOutcome(outcome: AttemptOutcome, link: NodeLink, saidSomething: boolean): Judgement {
  switch (outcome.kind) {
    case 'answered':
      return saidSomething ? 'served' : 'engine failed';
    case 'interrupted':
      return outcome.why === 'withdrawn' ? 'unjudged' : whoBroke(link);
    case 'aborted':
      return outcome.reason.code === 'upstream.timeout' ? 'engine failed' : 'unjudged';
    case 'failed':
      if (outcome.reason === 'withdrawn' || outcome.reason === CANNOT_CONTINUE) return 'unjudged';
      return outcome.reason === 'no stream' ? 'node failed' : whoBroke(link);
    case 'refused':
      return judgeRefusal(outcome);
  }
}

/** The engine or its connection ended, or fell silent, while it had the request and had not answered it whole. */
export function endedEngine(outcome: AttemptOutcome): boolean {
  if (outcome.kind === 'interrupted') return outcome.why !== 'withdrawn';
  if (outcome.kind === 'failed') return outcome.reason === 'link broke' || outcome.reason === 'no answer';
  return outcome.kind === 'refused' && outcome.headers[LINK_HEADERS.engine] === LINK_ENGINE_ENDED;
}

/** A link that is gone took the node along; a stream that broke on a link that stands is its engine's. */
function whoBroke({ closed, session }: NodeLink): Judgement {
  return closed || session.destroyed ? 'node failed' : 'engine failed';
}

/** It has as many requests as it takes. */
export function saysFull(outcome: AttemptOutcome): boolean {
  return outcome.kind === 'refused' && judgeRefusal(outcome) === 'busy';
}

/** The node says that none of its engines can go on with an answer that another one began. */
export function cannotContinue(outcome: AttemptOutcome): boolean {
  if (outcome.kind === 'failed') return outcome.reason === CANNOT_CONTINUE;
  return outcome.kind === 'refused' && outcome.headers[LINK_HEADERS.continues] === LINK_CANNOT_CONTINUE;
}

function judgeRefusal(refusal: Refusal): Judgement {
  const { verdict, status, headers } = refusal;
  if (cannotContinue(refusal)) return 'unjudged';
  switch (verdict) {
    // The caller's fault, or a change that the agent heard of first.
    case 'pass':
    case 'lock':
      return 'unjudged';
    case 'retry':
      return status === 429 || (status === 503 && headers['retry-after'] !== undefined) ? 'busy' : 'engine failed';
    case 'fault':
      return 'engine failed';
  }
}
