/** Each make of engine as its recorded answers (packages/agent/fixtures): what a scripted engine needs to be one. */
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import type { EngineAnswers } from './scripted-engine/engine-answers.ts';

/** The recorded bytes, by their path below the fixtures. */
export function recorded(path: string): string {
  return readFileSync(new URL(`../../agent/fixtures/${path}`, import.meta.url), 'utf8');
}

const OLLAMA_SHOWS: Readonly<Record<string, string>> = {
  'llama3.2:latest': 'ollama/api-show-llama3-2.json',
  'llava:latest': 'ollama/api-show-llava.json',
};

function ollamaShow({ body }: { readonly body: unknown }, response: ServerResponse): void {
  const path = OLLAMA_SHOWS[(body as { readonly model: string }).model];
  response.writeHead(path === undefined ? 404 : 200, { 'content-type': 'application/json' });
  response.end(path === undefined ? '{"error":"model not found"}' : recorded(path));
}

export const VLLM: EngineAnswers = {
  'GET /v1/models': recorded('vllm/models.json'),
  'GET /version': recorded('vllm/version.json'),
};
export const SGLANG: EngineAnswers = {
  'GET /v1/models': recorded('sglang/models.json'),
  'GET /model_info': recorded('sglang/model-info.json'),
  'GET /server_info': recorded('sglang/server-info.json'),
};
/** With no model in memory. */
export const OLLAMA: EngineAnswers = {
  'GET /v1/models': recorded('ollama/models.json'),
  'GET /api/version': recorded('ollama/api-version.json'),
  'GET /api/tags': recorded('ollama/api-tags.json'),
  'POST /api/show': ollamaShow,
  'GET /api/ps': '{"models":[]}',
};
/** It also answers for Ollama, as the real one does. */
export const LLAMA_CPP: EngineAnswers = {
  'GET /v1/models': recorded('llama-cpp/models.json'),
  'GET /props': recorded('llama-cpp/props-vision.json'),
  'GET /api/tags': recorded('llama-cpp/models.json'),
  'GET /api/version': recorded('ollama/api-version.json'),
};
export const LM_STUDIO: EngineAnswers = {
  'GET /v1/models': recorded('lm-studio/models.json'),
  'GET /api/v0/models': recorded('lm-studio/api-v0-models.json'),
};
export const TGI: EngineAnswers = {
  'GET /v1/models': recorded('tgi/models.json'),
  'GET /info': recorded('tgi/info.json'),
};
