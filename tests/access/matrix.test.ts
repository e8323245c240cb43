/**
 * Every route, called as every person, on things of an organisation and of a team of it: what is answered is what the
 * table of rights says for the roles that the person has by declaration (people.ts), and nothing else.
 */
import { RIGHTS } from '@subcloud/control/access/rights';
import { ACTIONS, type Action } from '@subcloud/contract/routes/actions';
import { type ControlRouteName, controlRoutes } from '@subcloud/contract/routes/control';
import type { RouteSpec } from '@subcloud/contract/routes/route';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CALLS, type Call, type Input } from './calls.ts';
import { type Answer, type Fixture, startFixture, type Things } from './fixture.ts';
import { OWNERS, PEOPLE, type Person, rolesHere } from './people.ts';

let fixture: Fixture;
beforeAll(async () => {
  fixture = await startFixture();
}, 120_000);
afterAll(() => fixture[Symbol.asyncDispose]());

const JOIN_TOKEN: Person = { name: 'join-token', roles: () => [] };

describe.each(Object.keys(controlRoutes) as ControlRouteName[])('%s', (route) => {
  test.each(CALLS[route].owners ?? OWNERS)(
    'answers as the table says, about what belongs to %s',
    { timeout: 120_000 },
    async (owner) => {
      const people = route === 'enrol' ? [...PEOPLE, JOIN_TOKEN] : PEOPLE;
      const things = fixture.things(owner);
      const seen: Record<string, string> = {};
      const wanted: Record<string, string> = {};
      for (const person of people) {
        const expected = expectation(route, person, things);
        wanted[person.name] = expected;
        seen[person.name] = outcome(CALLS[route], await call(route, person, things, expected === 'allowed'));
        await CALLS[route].after?.(fixture, person.name);
      }
      expect(seen).toEqual(wanted);
    },
  );
});

describe('what may not be known of', () => {
  const hiding = (Object.keys(CALLS) as ControlRouteName[]).filter((route) =>
    ['known', 'hidden'].includes(CALLS[route].refused),
  );
  test.each(hiding)('%s answers a stranger with the bytes for one that does not exist', async (route) => {
    const things = fixture.things(CALLS[route].owners?.[0] ?? 'org:acme');
    const { stranger = 'stranger' } = CALLS[route];
    const input = await CALLS[route].input(fixture, things, stranger, false);
    const elsewhere = renamed(input);
    const [there, nowhere] = await Promise.all([send(route, stranger, input), send(route, stranger, elsewhere.input)]);
    expect(there.status).toBe(404);
    expect(elsewhere.back(nowhere.text)).toBe(there.text);
  });
});

test('many writes that are refused at once are each answered, and none holds up another', async () => {
  const input = await CALLS.deleteSubcloud.input(fixture, fixture.things('org:acme'), 'stranger', false);
  const answers = await Promise.all(Array.from({ length: 20 }, () => send('deleteSubcloud', 'stranger', input)));
  expect(answers.map(({ status }) => status)).toEqual(Array<number>(20).fill(404));
});

test('every action is of a route, or is named here with its use', () => {
  const used = new Set<Action>(Object.values(controlRoutes).map(({ action }) => action));
  // What stands in a list that every caller gets; a claim that the network signs itself, by the route for signed ones.
  expect(ACTIONS.filter((action) => !used.has(action))).toEqual([
    'org.assign',
    'org.govern',
    'invitation.read',
    'key.read',
    'joinToken.read',
    'binding.read',
    'claim.sign',
    'usage.read',
    'event.read',
  ]);
});

test('a route reads no credential exactly where the table lets anybody, and a join token where it names one', () => {
  for (const { auth, action } of Object.values(controlRoutes)) {
    const may = RIGHTS[action];
    expect([action, auth === 'public']).toEqual([action, may.includes('anonymous')]);
    expect([action, auth === 'join']).toEqual([action, may.includes('joinToken')]);
  }
});

function expectation(route: ControlRouteName, person: Person, { owner }: Things): string {
  const { action } = controlRoutes[route];
  const { about, refused, know, alsoOf, roles: special, not = [] } = CALLS[route];
  const roles = new Set([
    ...rolesHere(person, special === undefined ? owner : 'nobody', about),
    ...(special?.(person.name) ?? []),
    ...(alsoOf === undefined ? [] : rolesHere(person, alsoOf, about)),
  ]);
  const has = (right: Action): boolean => RIGHTS[right].some((role) => roles.has(role));
  if (route === 'enrol') return person === JOIN_TOKEN ? 'allowed' : refused;
  const isExcepted = not === 'all' || not.includes(person.name);
  if (has(action) && !isExcepted) return 'allowed';
  if (person.name === 'anonymous') return 'client.unauthenticated';
  if (refused === 'known') return know !== undefined && has(know) ? 'policy.forbidden' : 'client.not_found';
  if (refused === 'hidden') return 'client.not_found';
  return refused === 'forbidden' ? 'policy.forbidden' : refused;
}

/** Anything that only a caller who was let through can get is `allowed`. */
function outcome({ refused }: Call, { status, code }: Answer): string {
  if (status < 400) return 'allowed';
  const refusals = ['client.unauthenticated', 'policy.forbidden'];
  if (refused === 'known' || refused === 'hidden') refusals.push('client.not_found');
  if (refused === 'client.conflict' || refused === 'policy.join_refused') refusals.push(refused);
  if (status >= 500 && code !== 'platform.attestation_unavailable') return `${status} ${code}`;
  return refusals.includes(code) ? code : 'allowed';
}

async function call(route: ControlRouteName, person: Person, things: Things, allowed: boolean): Promise<Answer> {
  return send(route, person.name, await CALLS[route].input(fixture, things, person.name, allowed));
}

function send(route: ControlRouteName, person: string, input: Input): Promise<Answer> {
  const { method, path }: RouteSpec = controlRoutes[route];
  const filled = path.replace(/\{(\w+)\}/g, (_, key: string) => encodeURIComponent(input.params?.[key] ?? ''));
  const query = new URLSearchParams({ ...input.query }).toString();
  return fixture.send(
    method.toUpperCase(),
    query === '' ? filled : `${filled}?${query}`,
    input.body,
    fixture.credential(person),
  );
}

/** The same call about things of the same form that are not there, and the way back from its names to the real ones. */
function renamed(input: Input): { readonly input: Input; readonly back: (text: string) => string } {
  const names = Object.entries(input.params ?? {}).map(([key, real]): [string, string, string] => {
    const last = /[A-Z]$/.test(real) ? ['X', 'Y'] : ['x', 'y'];
    const other = `${real.slice(0, -1)}${real.endsWith(last[0] ?? '') ? last[1] : last[0]}`;
    return [key, real, other];
  });
  const params = Object.fromEntries(names.map(([key, , other]) => [key, other]));
  return {
    input: { ...input, params },
    back: (text) => names.reduce((done, [, real, other]) => done.replaceAll(other, real), text),
  };
}
