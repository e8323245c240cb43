/** The clauses under `models`: each keeps what the ones before it kept and it allows. */
import type { FactValues, ModelFact } from '@subcloud/policy/facts';
import type { ModelsClause } from '@subcloud/policy/manifest';
import { type OracleContext, milliseconds, readings, standingClaims } from './oracle-facts.ts';

type Answer = 'yes' | 'no' | 'unknown';
type Entry = NonNullable<ModelsClause['allow']>[number];

export interface OracleModels {
  readonly steps: readonly { readonly clause: string; readonly answer: Answer }[];
  /** Sorted, each once. */
  readonly ids: readonly string[];
}

export function judgeModels(clause: Partial<ModelsClause>, context: OracleContext): OracleModels {
  const [served] = readings(context, 'models', { source: undefined, by: undefined, usual: 'declared' });
  const steps: { clause: string; answer: Answer }[] = [];
  let ids = new Set((served ?? []).map(({ id }) => id));
  const ask = (name: string, judge: (model: ModelFact) => Answer): void => {
    const left = [...ids];
    // Requests name an id: it passes only if whatever the node serves under it passes.
    const answers = left.map((id) => worst((served ?? []).filter((model) => model.id === id).map(judge)));
    const everyReport = (served ?? []).filter(({ id }) => ids.has(id)).map(judge);
    ids = new Set(left.filter((_, at) => answers[at] === 'yes'));
    if (name === 'models.allow' && clause.dedicated === true) {
      const others = served === undefined ? undefined : everyReport.filter((answer) => answer !== 'yes');
      const dedicated =
        others === undefined ? 'unknown' : others.length === 0 ? 'yes' : others.includes('no') ? 'no' : 'unknown';
      steps.push({ clause: 'models.dedicated', answer: dedicated });
    }
    const unsure = served === undefined || everyReport.includes('unknown');
    steps.push({ clause: name, answer: ids.size > 0 ? 'yes' : unsure ? 'unknown' : 'no' });
  };

  const { allow, quantization, modalities } = clause;
  ask('models.allow', (model) =>
    allow === undefined ? 'yes' : best(allow.map((entry) => admits(entry, model, context))),
  );
  if (quantization !== undefined) {
    ask('models.quantization', ({ quantization: seen }) =>
      seen === null ? 'unknown' : fineness(seen) >= fineness(quantization.min) ? 'yes' : 'no',
    );
  }
  if (modalities !== undefined) {
    ask('models.modalities', ({ modalities: takes }) => {
      if (takes === null) return 'unknown';
      const all = (modalities.all ?? []).every((each) => takes.includes(each));
      const any = modalities.any === undefined || modalities.any.some((each) => takes.includes(each));
      return all && any ? 'yes' : 'no';
    });
  }
  return { steps, ids: [...ids].sort() };
}

function admits(entry: Entry, model: ModelFact, context: OracleContext): Answer {
  if (!globHolds(entry.id, model.id)) return 'no';
  const { digest, audited } = entry;
  if (digest === undefined && audited === undefined) return 'yes';
  if (model.digest === null) return 'unknown';
  if (digest !== undefined && model.digest !== digest) return 'no';
  if (audited === undefined) return 'yes';
  const maxAgeMs = audited.maxAge === undefined ? Infinity : milliseconds(audited.maxAge);
  const audits = standingClaims(context, 'audit', audited.by)
    .filter((claim) => claim.source === 'attested')
    .filter((claim) => context.now - claim.issuedAt <= maxAgeMs)
    .filter((claim) => (claim.value as FactValues['audit']).digest === model.digest);
  return audits.length > 0 ? 'yes' : 'unknown';
}

/** `**` any run, `*` any run without a slash, `?` one character that is no slash; tried in every way there is. */
export function globHolds(pattern: string, text: string): boolean {
  const [first, ...rest] = Array.from(pattern);
  if (first === undefined) return text === '';
  const [character, ...others] = Array.from(text);
  const left = others.join('');
  if (first === '*') {
    const double = rest[0] === '*';
    const after = rest.join('').replace(double ? /^\*+/ : '', '');
    if (globHolds(after, text)) return true;
    return character !== undefined && (double || character !== '/') && globHolds(pattern, left);
  }
  if (character === undefined) return false;
  const fits = first === '?' ? character !== '/' : first === character;
  return fits && globHolds(rest.join(''), left);
}

/** int4 < int8 < fp8 < fp16 = bf16 < fp32. */
function fineness(quantization: NonNullable<ModelFact['quantization']>): number {
  return { int4: 1, int8: 2, fp8: 3, fp16: 4, bf16: 4, fp32: 5 }[quantization];
}

function best(answers: readonly Answer[]): Answer {
  return answers.includes('yes') ? 'yes' : answers.includes('unknown') ? 'unknown' : 'no';
}

function worst(answers: readonly Answer[]): Answer {
  return answers.includes('no') ? 'no' : answers.includes('unknown') ? 'unknown' : 'yes';
}
