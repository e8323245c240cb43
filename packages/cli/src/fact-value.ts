import { CliError } from './cli-error.ts';

const FACTS = [
  'location',
  'operatorSeat',
  'models',
  'hardware',
  'trustLevel',
  'reputation',
  'stake',
  'uptime30d',
] as const;
type Fact = (typeof FACTS)[number];

/** A fact and its value as a command line writes them: JSON, or the short form of the fact. Control checks what it says. */
export function parseFactValue(factText: string, text: string): { readonly fact: Fact; readonly value: unknown } {
  const fact = FACTS.find((name) => name === factText);
  if (fact === undefined)
    throw new CliError({
      code: 'client.unknown_fact',
      message: `${JSON.stringify(factText)} is no fact that can be attested about a node.`,
      next: `Use one of ${FACTS.join(', ')}; an audit is made with --digest.`,
    });
  const json = parseJson(text);
  if (json !== undefined && typeof json === 'object') return { fact, value: json };
  switch (fact) {
    case 'location':
      return { fact, value: { candidates: [place(text)], evidence: 'attested' } };
    case 'operatorSeat':
      return { fact, value: place(text) };
    case 'reputation':
    case 'uptime30d':
      if (typeof json === 'number') return { fact, value: json };
      throw malformed(fact, 'a number from 0 to 1');
    case 'trustLevel':
    case 'stake':
      return { fact, value: typeof json === 'string' ? json : text };
    case 'models':
    case 'hardware':
      throw malformed(fact, 'JSON');
  }
}

/** `DE`, or `DE-BE` for a subdivision of it. */
function place(text: string): { country: string; subdivision?: string } {
  const match = /^([A-Z]{2})(-[A-Z0-9]{1,3})?$/.exec(text.toUpperCase());
  if (match === null) throw malformed('a place', 'a country (DE) or a subdivision (DE-BE)');
  const country = match[1] ?? '';
  return match[2] === undefined ? { country } : { country, subdivision: `${country}${match[2]}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function malformed(what: string, wanted: string): CliError {
  return new CliError({
    code: 'client.invalid_value',
    message: `The value of ${what} has to be ${wanted}.`,
    next: 'See `subcloud node attest --help`.',
  });
}
