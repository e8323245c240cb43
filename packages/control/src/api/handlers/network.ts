import { AppError } from '@subcloud/contract/errors';
import { actorName } from '../../access/actor.ts';
import { replaceClaims, withClaims } from '../../facts/claims.ts';
import { openLocationMeasurer } from '../../facts/measure-location.ts';
import { groupRecord } from '../../world/people.ts';
import { insertEvents } from '../../store/events.ts';
import { AGENT_FILE_PATH } from '../agent-file.ts';
import { type Handlers, withdrawn } from '../context.ts';

export const networkHandlers: Pick<
  Handlers,
  'openapi' | 'network' | 'agentFile' | 'whoami' | 'getPlaces' | 'putPlaces'
> = {
  openapi: ({ openapi }) => openapi(),

  network: ({ loop, authority, version }) => ({
    id: loop.world.networkId,
    fingerprint: authority.fingerprint,
    chain: authority.chain(),
    version,
  }),

  async agentFile({ agentFile }) {
    const { bytes, sha256 } = await agentFile();
    return { path: AGENT_FILE_PATH, sha256, bytes: bytes.byteLength };
  },

  whoami({ loop }, _input, actor) {
    const { people } = loop.world;
    const principal = actor.kind === 'principal' ? actor.principal : null;
    const networkRole = principal === null ? null : (people.networkRoles.get(principal) ?? null);
    const groups = principal === null ? [] : [...(people.groups.get(principal) ?? [])].sort();
    return {
      principal,
      admin: actor.kind === 'admin' || networkRole === 'admin',
      networkRole,
      credential: actor.kind === 'principal' ? actor.credential : null,
      groups: groups.flatMap((id) => {
        const role = principal === null ? undefined : groupRecord(people, id)?.members.get(principal);
        return role === undefined ? [] : [{ id, role }];
      }),
    };
  },

  getPlaces: ({ loop }) => ({ places: loop.world.places.map((place) => ({ ...place })) }),

  async putPlaces(context, { body }, actor) {
    const { loop, clock, replaceMeasurer } = context;
    const places = body.places.map(({ cidr, country, subdivision }) => ({
      cidr,
      country,
      ...(subdivision === undefined ? {} : { subdivision }),
    }));
    let measurer: ReturnType<typeof openLocationMeasurer>;
    try {
      measurer = openLocationMeasurer({ places });
    } catch (error) {
      throw new AppError('client.invalid_request', {
        message: error instanceof Error ? error.message : 'the map has a fault',
        param: 'places',
      });
    }
    const { tableVersion } = await loop.change(async (tx) => {
      const nowMs = clock.nowMs();
      await tx.deleteFrom('places').execute();
      if (places.length > 0)
        await tx
          .insertInto('places')
          .values(places.map(({ cidr, country, subdivision }) => ({ cidr, country, subdivision: subdivision ?? null })))
          .execute();
      const measured = [...loop.world.nodes.values()].flatMap((node) => {
        if (node.address === null) return [];
        const { candidates, evidence } = measurer.measure(node.address);
        return [
          {
            node,
            claims: withClaims(
              node.claims,
              [
                {
                  fact: 'location',
                  value: { candidates, evidence },
                  source: 'measured',
                  issuer: 'network',
                  expiresAt: null,
                },
              ],
              nowMs,
              loop.world.revokedStatements.get(node.id),
            ),
          },
        ];
      });
      await replaceClaims(
        tx,
        measured.map(({ node, claims }) => ({ node: node.id, before: node.claims, after: claims })),
      );
      await insertEvents(
        tx,
        [
          {
            kind: 'places.replaced',
            node: null,
            subcloud: null,
            actor: actorName(actor),
            reason: 'by request',
            detail: { entries: places.length },
          },
        ],
        nowMs,
      );
      return {
        audit: { subject: 'places', before: { places: loop.world.places }, after: { places } },
        result: undefined,
        touched: 'all',
        apply: (world) => {
          world.places = places;
          replaceMeasurer(measurer);
          for (const { node, claims } of measured) node.claims = claims;
        },
      };
    });
    return withdrawn(context, tableVersion);
  },
};
