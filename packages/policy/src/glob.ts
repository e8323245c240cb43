/**
 * Model patterns: `*` is any run of characters without `/`, `**` any run, `?` one character without `/`. Matching walks
 * the text once with the set of reachable pattern positions (Thompson), so no pattern can stall.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  if (!/[*?]/.test(pattern)) return (text) => text === pattern;
  const oneStar = ONE_STAR.exec(pattern);
  if (oneStar !== null) return aroundStar(oneStar[1] ?? '', oneStar[2] ?? '', oneStar[3] ?? '');
  const tokens = pattern.match(/\*\*+|\*|\?|[^*?]/gu) ?? [];
  return (text) => matches(tokens, Array.from(text));
}

/** The common shape, `lab/*`, in ASCII, so that code units and characters are the same thing. */
const ONE_STAR = /^([!-)+->@-~]*)(\*+)([!-)+->@-~]*)$/;

function aroundStar(head: string, star: string, tail: string): (text: string) => boolean {
  const least = head.length + tail.length;
  const crosses = star.length > 1;
  return (text) => {
    if (text.length < least || !text.startsWith(head) || !text.endsWith(tail)) return false;
    if (crosses) return true;
    const slash = text.indexOf('/', head.length);
    return slash < 0 || slash >= text.length - tail.length;
  };
}

function matches(tokens: readonly string[], text: readonly string[]): boolean {
  // Positions in the pattern that some reading of the text so far has reached: bounded by the pattern's length.
  let states = closure(tokens, new Set([0]));
  for (const character of text) {
    const next = new Set<number>();
    for (const at of states) {
      const token = tokens[at];
      if (token === undefined) continue;
      if (token.startsWith('**')) next.add(at);
      else if (token === '*') {
        if (character !== '/') next.add(at);
      } else if (token === '?') {
        if (character !== '/') next.add(at + 1);
      } else if (token === character) next.add(at + 1);
    }
    if (next.size === 0) return false;
    states = closure(tokens, next);
  }
  return states.has(tokens.length);
}

/** A star may also stand for nothing. */
function closure(tokens: readonly string[], states: Set<number>): Set<number> {
  for (const at of states) if (tokens[at]?.startsWith('*') === true) states.add(at + 1);
  return states;
}
