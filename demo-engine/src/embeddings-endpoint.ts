import type { ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import type { EmbeddingModel } from './embedding-model.ts';
import { type Fields, numberIn, objectAt, refused, textIn } from './request-fields.ts';

const maxTexts = 256;
const maxTextLength = 32_768;

/** Answers `POST /v1/embeddings`. Throws ApiError as long as nothing was sent. */
export async function answerEmbeddings(model: EmbeddingModel, body: unknown, response: ServerResponse): Promise<void> {
  const fields = objectAt(body, 'The body');
  if (textIn(fields, 'model') !== model.id) {
    throw new ApiError(404, `This engine makes embeddings with ${model.id} alone.`, {
      code: 'model_not_found',
      param: 'model',
    });
  }
  const format = fields['encoding_format'] ?? 'float';
  if (format !== 'float' && format !== 'base64') throw refused('encoding_format', 'it must be float or base64');
  const wanted = numberIn(fields, 'dimensions', 1, 100_000, true);
  if (wanted !== undefined && wanted !== model.dimensions)
    throw refused('dimensions', `this model has ${model.dimensions}`);
  const texts = textsIn(fields);
  const { vectors, tokens } = await model.embed(texts);
  const data = vectors.map((vector, index) => ({
    object: 'embedding',
    index,
    embedding: format === 'float' ? vector : inBase64(vector),
  }));
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ object: 'list', data, model: model.id, usage }));
}

function textsIn(fields: Fields): readonly string[] {
  const { input } = fields;
  const texts: readonly unknown[] = Array.isArray(input) ? input : [input];
  if (texts.length === 0 || texts.length > maxTexts) throw refused('input', `it must be 1 to ${maxTexts} texts`);
  return texts.map((text) => {
    if (typeof text !== 'string' || text === '') throw refused('input', 'it must be a text, or a list of texts');
    if (text.length > maxTextLength) throw refused('input', `a text has at most ${maxTextLength} characters`);
    return text;
  });
}

/** 32-bit floats, little-endian, as OpenAI's API sends them and its clients ask for them. */
function inBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes.toString('base64');
}
