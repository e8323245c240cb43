/** Changes of credentials: made, revoked, rotated with and without overlap. */
import { type AccessWorld, POOLS, PRINCIPALS, USERS } from './access-world.ts';
import { type Draw, complete, inForce } from './random-grounds.ts';

const MAX_CREDENTIALS = 24;

export const newCredential: Draw = (grounds, world) => {
  const { network, chance } = grounds;
  if (world.credentials.filter(({ alive }) => alive).length >= MAX_CREDENTIALS) return undefined;
  const principal = chance.of(USERS);
  const opens = chance.chance(0.7) ? chance.of(POOLS) : undefined;
  return {
    word: `a new ${opens === undefined ? 'key' : `token of ${opens}`} for ${principal}`,
    after: world,
    secrets: true,
    make: async () => {
      const made =
        opens === undefined
          ? await network.admin.call('createKey', { body: { principal } }).then(({ id, key }) => ({ id, secret: key }))
          : await network.admin
              .call('createToken', { params: { name: opens }, body: { principal } })
              .then(({ id, token }) => ({ id, secret: token }));
      await inForce(grounds, world);
      return { ...world, credentials: [...world.credentials, { ...made, principal, opens, alive: true }] };
    },
  };
};

export const revoke: Draw = ({ network, chance }, world) => {
  // Those from the start stay: with them their principals answer.
  const at = chance.below(world.credentials.length);
  const credential = world.credentials[at];
  if (at < PRINCIPALS.length || credential?.alive !== true) return undefined;
  const { id, opens } = credential;
  const rotated = world.credentials.map((each) => (each.id === id ? { ...each, alive: false } : each));
  const params = { name: opens ?? '', id };
  return {
    word: `${id} is revoked`,
    after: { ...world, credentials: rotated },
    make: async () =>
      complete({
        withdrawal:
          opens === undefined
            ? await network.admin.call('revokeKey', { params: { id } })
            : await network.admin.call('revokeToken', { params }),
      }),
  };
};

export const rotate: Draw = (grounds, world) => {
  const { network, chance } = grounds;
  const tokens = world.credentials.filter(({ alive, opens }) => alive && opens !== undefined);
  // One that has two secrets already is the more telling.
  const several = tokens.filter(({ id }) => tokens.filter((each) => each.id === id).length > 1);
  if (tokens.length === 0) return undefined;
  const credential = chance.of(several.length > 0 ? several : tokens);
  const { id, opens = '' } = credential;
  const overlapS = chance.of([0, 3_600, 3_600]);
  // Of all secrets that the token had, only the last one may go on.
  const kept = world.credentials.map((each, index) =>
    each.id === id && (index !== lastOf(world, id) || overlapS === 0) ? { ...each, alive: false } : each,
  );
  const after = { ...world, credentials: kept };
  return {
    word: `${id} is rotated, overlap ${overlapS} s`,
    after,
    secrets: true,
    make: async () => {
      const body = { overlapS };
      const rotated = await network.admin.call('rotateToken', { params: { name: opens, id }, body });
      complete(rotated);
      return { ...after, credentials: [...kept, { ...credential, secret: rotated.token }] };
    },
  };
};

function lastOf({ credentials }: AccessWorld, id: string): number {
  return credentials.findLastIndex((each) => each.id === id);
}
