/** Named places that the admin (for the network) and owners (for their own Subclouds) define beside the built-in ones. */
import * as z from 'zod';
import { principalId } from '../vocabulary.ts';
import { defineRoutes } from './route.ts';
import { pageOf, pageQuery, time, withdrawal } from './shapes.ts';

export const domainName = z
  .string()
  .max(64)
  .regex(/^[A-Z][A-Z0-9]*(-[A-Z0-9]+)*$/, 'must be capitals and digits, joined by hyphens');
const codes = z.array(z.string().min(2).max(6)).max(6_000);
const byName = z.strictObject({ name: domainName });
/** Whose domain it is; left out: the network's. */
const byOwner = z.strictObject({ owner: principalId.optional() });

export const domainShape = z.strictObject({
  /** As manifests write it: NAME, or OWNER/NAME. */
  id: z.string(),
  name: z.string(),
  /** Null: the network's. */
  owner: principalId.nullable(),
  builtIn: z.boolean(),
  /** Part of the effective hash of every revision that names the domain. */
  version: z.string(),
  title: z.string(),
  members: z.array(z.string()),
  unclear: z.array(z.string()),
  createdAt: time.nullable(),
  createdBy: z.string().nullable(),
  /** Subclouds that the caller may know of and whose revision in force names it. */
  usedBy: z.array(z.string()),
});
export type Domain = z.infer<typeof domainShape>;

export const domainsRoutes = defineRoutes({
  listDomains: {
    method: 'get',
    path: '/api/v1/domains',
    auth: 'credential',
    action: 'domain.list',
    summary: 'Named domains: built-in, of the network, and those that the caller owns',
    query: pageQuery,
    status: 200,
    response: pageOf(domainShape),
    errors: [],
  },
  getDomain: {
    method: 'get',
    path: '/api/v1/domains/{name}',
    auth: 'credential',
    action: 'domain.read',
    summary: 'One domain with its members',
    params: byName,
    query: byOwner,
    status: 200,
    response: domainShape,
    errors: ['client.not_found'],
  },
  putDomain: {
    method: 'put',
    path: '/api/v1/domains/{name}',
    auth: 'credential',
    action: 'domain.write',
    summary: 'Define a domain or give it a new version; Subclouds that name it are decided again',
    params: byName,
    body: z.strictObject({
      owner: principalId.optional(),
      title: z.string().min(1).max(200).optional(),
      /** ISO 3166 codes; a domain holds no other domain. */
      members: codes.min(1),
      /** Codes of which it is not known whether they belong: neither `in` nor `notIn` passes on them. */
      unclear: codes.default([]),
    }),
    maxBodyBytes: 131_072,
    status: 200,
    response: z.strictObject({
      change: z.enum(['created', 'updated', 'unchanged']),
      domain: domainShape,
      withdrawal,
    }),
    errors: ['client.not_found', 'client.conflict', 'config.invalid_domain'],
  },
  deleteDomain: {
    method: 'delete',
    path: '/api/v1/domains/{name}',
    auth: 'credential',
    action: 'domain.delete',
    summary: 'Delete a domain that no Subcloud names',
    params: byName,
    query: byOwner,
    status: 200,
    response: z.strictObject({ deleted: z.string() }),
    errors: ['client.not_found', 'client.conflict'],
  },
});
