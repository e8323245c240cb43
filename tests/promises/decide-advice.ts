/** Does what a failing clause advises, by its words alone: every number and name comes out of the text of the fix. */
import type { ClauseResult } from '@subcloud/policy/decide';
import type { Claim, ClaimSource, FactName, FactValues, GpuFact, ModelFact, NodeFacts } from '@subcloud/policy/facts';
import { NOW, fresh } from './arbitraries-claims.ts';
import { COUNTRIES, SUBDIVISIONS, placesHold } from './oracle-places.ts';

/** The node after the advice; undefined where no place on the tests' map is one that is asked for. */
export function follow(
  result: ClauseResult,
  node: NodeFacts,
  matches: (gpu: GpuFact) => boolean,
): NodeFacts | undefined {
  const fix = result.fix ?? '';
  const [advice = ''] = fix.split('; ');
  const served = valueOf(node, 'models') ?? [];
  switch (result.clause) {
    case 'nodes.operators':
      return { ...node, operator: word(advice, /join token of (\S+)/) as NodeFacts['operator'] };
    case 'nodes.location':
    case 'nodes.operatorSeat': {
      const place = placeIn(word(advice, / in(?:side)? ((?!is )[^;]+)$/));
      if (place === undefined) return undefined;
      return result.clause === 'nodes.location'
        ? say(node, 'location', { candidates: [place], evidence: 'moved' }, result)
        : say(node, 'operatorSeat', place, result);
    }
    case 'nodes.hardware':
      return say(
        node,
        'hardware',
        { gpus: rebuilt(advice, result.unknown ? [] : gpusOf(node, result), matches) },
        result,
      );
    case 'nodes.trust.level':
      return say(node, 'trustLevel', word(advice, /raised to (\w+)/) as FactValues['trustLevel'], result);
    case 'nodes.trust.reputation':
      return say(node, 'reputation', Number(word(advice, /reputation of ([\d.]+)/)), result);
    case 'nodes.trust.stake':
      return say(node, 'stake', word(advice, /stake (.+)/), result);
    case 'nodes.labels': {
      const pairs = word(advice, /set (.+) under labels/).split(', ');
      const labels = Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]));
      return say(node, 'labels', { ...(result.unknown ? {} : valueOf(node, 'labels', result)), ...labels }, result);
    }
    case 'nodes.where':
      return undefined;
    case 'models.dedicated': {
      const gone = /stop serving (.+) on the node/.exec(advice)?.[1]?.split(', ');
      if (gone !== undefined)
        return serve(
          node,
          served.filter(({ id }) => !gone.includes(id)),
        );
      return serveOneOf(node, served, advice);
    }
    case 'models.allow':
      return serveOneOf(node, served, advice);
    case 'models.quantization': {
      const quantization = word(advice, /quantisation (\w+)/) as ModelFact['quantization'];
      return serve(
        node,
        served.map((model) => ({ ...model, quantization })),
      );
    }
    case 'models.modalities': {
      const modalities = word(advice, /takes (.+)/).split(/, and | and | or /) as ModelFact['modalities'];
      return serve(
        node,
        served.map((model) => ({ ...model, modalities })),
      );
    }
  }
}

function word(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`no ${String(pattern)} in the advice: ${text}`);
  return found;
}

/** What the strongest claims of a fact say; with a result, those of the source that it names. */
function valueOf<Fact extends FactName>(
  node: NodeFacts,
  fact: Fact,
  { source, issuer }: Partial<Pick<ClauseResult, 'source' | 'issuer'>> = {},
): FactValues[Fact] | undefined {
  const said = node.claims.filter((claim) => claim.fact === fact);
  const counted = said.find((claim) => claim.source === source && claim.issuer === issuer);
  return (counted ?? said[0])?.value as FactValues[Fact] | undefined;
}

function gpusOf(node: NodeFacts, result: ClauseResult): readonly GpuFact[] {
  return valueOf(node, 'hardware', result)?.gpus ?? [];
}

/** One fresh claim in the place of those that the clause read: of the source it names, or of the one it asks for. */
function say<Fact extends FactName>(
  node: NodeFacts,
  fact: Fact,
  value: FactValues[Fact],
  { fix, source: seen, issuer: seenIssuer }: ClauseResult,
): NodeFacts {
  const asked = /: (at least )?(declared|measured|attested)(, attested only| or stronger)?(?: by (.+))?$/.exec(
    fix ?? '',
  );
  const source = (asked?.[2] ?? seen) as ClaimSource;
  const issuer = asked === null ? (seenIssuer ?? 'network') : (asked[4]?.split(' or ')[0] ?? 'network');
  const replacesAll = asked?.[1] !== undefined || asked?.[3] !== undefined;
  const others = node.claims.filter((claim) => claim.fact !== fact || (!replacesAll && claim.source !== source));
  const claim = { ...fresh(fact, value as object, source, null), issuer, confirmedAt: NOW } as Claim;
  const lastSeenAt = null;
  return { ...node, lastSeenAt, claims: [...others, claim] };
}

function serve(node: NodeFacts, models: readonly ModelFact[]): NodeFacts {
  const others = node.claims.filter(({ fact }) => fact !== 'models');
  return { ...node, claims: [...others, fresh('models', models, 'declared', null)] };
}

function serveOneOf(node: NodeFacts, served: readonly ModelFact[], advice: string): NodeFacts {
  if (advice === 'let an engine of the node serve a model') return serve(node, [{ ...plain('lab/any'), digest: null }]);
  const audits = /^have (.+) audited: (.+)$/.exec(advice);
  const issuers = [...advice.matchAll(/audited by ([^\s,]+)/g)].map(([, issuer = '']) => issuer);
  const auditBy = (digests: readonly string[]): readonly Claim[] =>
    digests.flatMap((digest) =>
      issuers.map((issuer) => ({ ...fresh('audit', { digest }, 'attested', null), issuer }) as Claim),
    );
  if (audits !== null) {
    const digests = [...(audits[1] ?? '').matchAll(/sha256:[0-9a-f]{64}/g)].map(([digest]) => digest);
    return { ...node, claims: [...node.claims, ...auditBy(digests)] };
  }
  const [entry = ''] = word(advice, /^serve one of: (.+)$/).split(', ');
  const [pattern = ''] = entry.split(' ');
  const id = pattern.replace(/\*+|\?/g, 'x');
  const digest = /with (sha256:[0-9a-f]{64})/.exec(entry)?.[1] ?? `sha256:${'f'.repeat(64)}`;
  const models = [...served.filter((model) => model.id !== id), { ...plain(id), digest }];
  const after = serve(node, models);
  return entry.includes('audited by') ? { ...after, claims: [...after.claims, ...auditBy([digest])] } : after;
}

function plain(id: string): ModelFact {
  return { id, digest: null, quantization: null, modalities: null, contextLength: null };
}

function placeIn(lists: string): FactValues['operatorSeat'] | undefined {
  const [inside = '', outside] = lists.split(' except ');
  const inList = inside === 'anywhere' ? undefined : inside.split(', ');
  const places = [
    ...COUNTRIES.map((country) => ({ country })),
    ...SUBDIVISIONS.map((subdivision) => ({ country: subdivision.slice(0, 2), subdivision })),
  ];
  return places.find((place) => placesHold(inList, outside?.split(', '), place) === 'yes');
}

function rebuilt(advice: string, gpus: readonly GpuFact[], matches: (gpu: GpuFact) => boolean): readonly GpuFact[] {
  let built = gpus;
  const away = /take away (\d+) GPU/.exec(advice)?.[1];
  if (away !== undefined) {
    const gone = new Set(built.filter(matches).slice(0, Number(away)));
    built = built.filter((gpu) => !gone.has(gpu));
  }
  const added = /add (\d+) GPU: (.+)/.exec(advice);
  if (added !== null) {
    const [, count = '0', words = ''] = added;
    const name = word(words, /^(any GPU|[^,]+?)(?: or |,|$)/);
    const least = /at least ([\d.]+) GiB/.exec(words)?.[1];
    const most = /at most ([\d.]+) GiB/.exec(words)?.[1];
    const gpu: GpuFact = {
      model: name === 'any GPU' ? null : (name as GpuFact['model']),
      driverName: 'NVIDIA',
      vramGiB: Number(least ?? most ?? 1),
      confidential: !words.includes('not confidential') && words.includes('confidential'),
    };
    built = [...built, ...Array.from({ length: Number(count) }, () => gpu)];
  }
  // Known, and as something else than what is counted.
  const isKnown = ({ model, vramGiB, confidential }: GpuFact): boolean =>
    model !== null && vramGiB !== null && confidential !== null;
  return advice.includes('be known') ? built.filter((gpu) => matches(gpu) || isKnown(gpu)) : built;
}
