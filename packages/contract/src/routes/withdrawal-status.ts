/**
 * 200 or 202: a withdrawal that some gateway has not confirmed yet is accepted, and not done. Which routes answer so
 * follows from the shape of their answers.
 */
import * as z from 'zod';
import { withdrawal } from './shapes.ts';

/** Whether answers of this shape are a withdrawal, or hold one under `withdrawal`. */
export function carriesWithdrawal(response: z.ZodType): boolean {
  if (response === withdrawal) return true;
  return response instanceof z.ZodObject && (response.shape as Record<string, unknown>)['withdrawal'] === withdrawal;
}

/** The status of this answer of a route whose own status is `status`. */
export function withdrawalStatus<Status extends number>(
  status: Status,
  response: z.ZodType,
  answer: unknown,
): Status | 202 {
  if (!carriesWithdrawal(response)) return status;
  const value = answer as { readonly complete?: boolean; readonly withdrawal?: { readonly complete: boolean } };
  return (value.withdrawal ?? value).complete === false ? 202 : status;
}
