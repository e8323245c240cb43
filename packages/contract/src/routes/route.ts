/**
 * A control route is data: method, path, who may call it, request, response, errors. Server, client and OpenAPI derive
 * from it, so they cannot disagree. A route without `auth` and `action` does not compile.
 */
import type * as z from 'zod';
import type { ErrorCodeName } from '../errors.ts';
import type { Action } from './actions.ts';

/**
 * What the route reads of the caller. `public`: nothing. `join`: a join token in the body. `credential`: an account key or
 * the admin token. Who may call it is the business of its action alone, in control's table of rights.
 */
export type RouteAuth = 'public' | 'join' | 'credential';

export interface RouteSpec {
  /** All but `get` change something, and every change stands in the audit log. */
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** Why a route that is no `get` changes nothing all the same. */
  readonly readOnly?: string;
  /** Parameters in braces: `/api/v1/nodes/{id}`. */
  readonly path: `/api/v1/${string}`;
  readonly auth: RouteAuth;
  readonly action: Action;
  readonly summary: string;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** Largest request body; default 64 KiB. */
  readonly maxBodyBytes?: number;
  readonly status: 200 | 201 | 202;
  readonly response: z.ZodType;
  /** Of a route that also answers with server-sent events, to who accepts them: the data of each. */
  readonly stream?: z.ZodType;
  /** Beyond those that every route can answer with. */
  readonly errors: readonly ErrorCodeName[];
}

/** Every route can answer with these. */
export const COMMON_ERRORS = [
  'client.invalid_request',
  'client.unauthenticated',
  'client.too_large',
  'policy.forbidden',
  'platform.internal',
] as const satisfies readonly ErrorCodeName[];

/** And these every route that changes something. */
export const WRITE_ERRORS = [
  'client.idempotency_in_doubt',
  'client.idempotency_key_reused',
  'client.revision_conflict',
] as const satisfies readonly ErrorCodeName[];

/** And these every route that takes a body. */
export const BODY_ERRORS = [
  'client.invalid_body',
  'client.unsupported_media_type',
] as const satisfies readonly ErrorCodeName[];

export type Routes = Readonly<Record<string, RouteSpec>>;
export type InputOf<Spec extends RouteSpec> = (Spec['params'] extends z.ZodObject
  ? { readonly params: z.infer<Spec['params']> }
  : unknown) &
  (Spec['query'] extends z.ZodObject ? { readonly query: z.infer<Spec['query']> } : unknown) &
  (Spec['body'] extends z.ZodType ? { readonly body: z.infer<Spec['body']> } : unknown);
export type OutputOf<Spec extends RouteSpec> = z.infer<Spec['response']>;
/** What a client writes: defaults may be left out. */
export type ClientInputOf<Spec extends RouteSpec> = (Spec['params'] extends z.ZodObject
  ? { readonly params: z.input<Spec['params']> }
  : unknown) &
  (Spec['query'] extends z.ZodObject ? { readonly query?: z.input<Spec['query']> } : unknown) &
  (Spec['body'] extends z.ZodType ? { readonly body: z.input<Spec['body']> } : unknown);

export function defineRoutes<const Defined extends Routes>(routes: Defined): Defined {
  return routes;
}
