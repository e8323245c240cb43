/** What a request asks for, in the words of OpenTelemetry's conventions for generative AI; `call_api` is our own. */
export type Operation = 'chat' | 'text_completion' | 'embeddings' | 'call_api';

/** Of a path of the contract's. */
export function operationOf(path: string): Operation {
  switch (path) {
    case '/v1/chat/completions':
      return 'chat';
    case '/v1/completions':
      return 'text_completion';
    case '/v1/embeddings':
      return 'embeddings';
    default:
      return 'call_api';
  }
}
