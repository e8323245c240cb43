/**
 * Preloaded into Portkey 1.15.2, whose streaming answers 500 "immutable" on current Node as shipped: it writes to the
 * headers of a fetched response, which are frozen. Each response is wrapped once more, and nothing else is changed.
 */
const original = globalThis.fetch;
globalThis.fetch = async (...question) => {
  const { body, status, statusText, headers } = await original(...question);
  return new Response(body, { status, statusText, headers: new Headers(headers) });
};
