/** The low-cardinality word of an outcome: an engine's own refusal is one, whatever its status; reasons are for logs. */
export function outcomeWord(outcome: string): string {
  if (outcome.startsWith('engine ')) return 'engine_refused';
  const end = outcome.search(/[:,]/);
  return end === -1 ? outcome : outcome.slice(0, end);
}
