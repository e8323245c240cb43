/** Receipts: who served an answer and why it was sent there, to be checked without asking anybody. */
import * as z from 'zod';
import { receiptShape } from '../receipts.ts';
import { defineRoutes } from './route.ts';

export const receiptsRoutes = defineRoutes({
  getReceipt: {
    method: 'get',
    path: '/api/v1/receipts/{id}',
    auth: 'credential',
    action: 'request.read',
    summary: 'The signed receipt of a request, kept 30 days; complete some seconds after the answer',
    params: z.strictObject({ id: z.string().max(64) }),
    status: 200,
    response: receiptShape,
    errors: ['client.not_found'],
  },
});
