/**
 * What a signer may put into a claim: the value of its fact and nothing beside, in the words that policies compare with.
 * Stricter than the shape that clauses check, since here somebody can still be told.
 */
import { ATTESTABLE_FACTS, type AttestableFact, type ClaimSubject } from '@subcloud/contract/documents';
import { AppError } from '@subcloud/contract/errors';
import { GPU_NAMES, MODALITIES, QUANTIZATIONS, digestText, modelId } from '@subcloud/contract/vocabulary';
import { isWellFormed } from '@subcloud/policy/fact-values';
import { isCountry, isSubdivision, isSubdivisionOf } from '@subcloud/policy/place-registry';
import { TRUST_LEVELS } from '@subcloud/policy/scales';
import { amountText } from '@subcloud/policy/units';
import * as z from 'zod';

const MAX_VALUE_BYTES = 131_072;

const place = z
  .strictObject({ country: z.string().max(2), subdivision: z.string().max(6).optional() })
  .refine(({ country }) => country === country.toUpperCase() && isCountry(country), 'is no ISO 3166-1 country')
  .refine(
    ({ country, subdivision }) =>
      subdivision === undefined || (isSubdivision(subdivision) && isSubdivisionOf(subdivision, country)),
    'has a subdivision that is not one of the country',
  );
const share = z.number().min(0).max(1);

const VALUES: Readonly<Record<AttestableFact, z.ZodType>> = {
  location: z.strictObject({ candidates: z.array(place).min(1).max(64), evidence: z.string().max(256) }),
  operatorSeat: place,
  models: z
    .array(
      z.strictObject({
        id: modelId,
        digest: digestText.nullable(),
        quantization: z.enum(QUANTIZATIONS).nullable(),
        modalities: z.array(z.enum(MODALITIES)).max(8).nullable(),
        contextLength: z.int().positive().nullable(),
      }),
    )
    .max(1024),
  hardware: z.strictObject({
    gpus: z
      .array(
        z.strictObject({
          model: z.enum(GPU_NAMES).nullable(),
          driverName: z.string().max(256),
          vramGiB: z.number().positive().max(100_000).nullable(),
          confidential: z.boolean().nullable(),
        }),
      )
      .max(64),
  }),
  trustLevel: z.enum(TRUST_LEVELS),
  reputation: share,
  stake: amountText,
  uptime30d: share,
  audit: z.strictObject({ digest: digestText }),
};

/** Throws client.invalid_request that names what is wrong with the value. */
export function checkAttestedValue(fact: AttestableFact, value: unknown, subject: ClaimSubject): void {
  const refuse = (what: string): never => {
    throw new AppError('client.invalid_request', { message: `The value of ${fact} ${what}.`, param: 'value' });
  };
  if (!ATTESTABLE_FACTS.includes(fact)) refuse('is of no fact that can be attested');
  const parsed = VALUES[fact].safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path.map(String).join('.') ?? '';
    refuse(`${path === '' ? '' : `at ${path} `}is not right: ${issue?.message ?? 'invalid'}`);
  }
  if (!isWellFormed(fact, value)) refuse('has not the shape of this fact');
  if (JSON.stringify(value).length > MAX_VALUE_BYTES) refuse(`is larger than ${MAX_VALUE_BYTES} bytes`);
  if (fact === 'audit' && 'digest' in subject && (value as { digest: string }).digest !== subject.digest)
    refuse('names another digest than the subject');
}
