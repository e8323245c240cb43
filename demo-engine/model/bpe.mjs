/**
 * Step 2: `node bpe.mjs 768` learns a byte-level BPE of at most that many tokens from corpus.json (it ends at 750, when no pair occurs
 * twice). Writes tok.json (the tokenizer), train.bin (the corpus as token numbers) and mask.bin (1 where the model's own words stand).
 */
import { readFileSync, writeFileSync } from 'node:fs';

const documents = JSON.parse(readFileSync('corpus.json', 'utf8'));
const maxTokens = Number(process.argv[2] ?? 768);

/** GPT-2's alphabet: every byte as one visible character. */
const byteToCharacter = (() => {
  const visible = [
    [33, 126],
    [161, 172],
    [174, 255],
  ].flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, index) => first + index));
  const characters = [];
  for (const byte of visible) characters[byte] = String.fromCharCode(byte);
  let next = 256;
  for (let byte = 0; byte < 256; byte += 1) characters[byte] ??= String.fromCharCode(next++);
  return characters;
})();

/** GPT-2's way of cutting a text into words before it is tokenized. */
const wordPattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
const encoder = new TextEncoder();
const charactersOf = (word) => [...encoder.encode(word)].map((byte) => byteToCharacter[byte]);

const specialTokens = ['<|pad|>', '<|bos|>', '<|end|>', '<|system|>', '<|user|>', '<|assistant|>'];
const [, beginToken, endToken, systemToken, userToken, assistantToken] = specialTokens.keys();

function learnMerges() {
  const counts = new Map();
  const texts = documents.flatMap((entry) =>
    entry.t ? [entry.t] : [...entry.c.flat(), ...(entry.sys ? [entry.sys] : [])],
  );
  for (const text of texts) {
    for (const word of text.match(wordPattern)) {
      const key = charactersOf(word).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const words = [...counts].map(([word, count]) => ({ symbols: [...word], count }));
  const tokens = [...specialTokens, ...byteToCharacter];
  const merges = [];
  while (tokens.length < maxTokens) {
    const best = mostFrequentPair(words);
    if (best === undefined) break;
    const [left, right] = best.split(' ');
    merges.push(best);
    tokens.push(left + right);
    for (const { symbols } of words) merge(symbols, left, right);
  }
  return { tokens, merges };
}

function mostFrequentPair(words) {
  const counts = new Map();
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i += 1) {
      const pair = `${symbols[i]} ${symbols[i + 1]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best;
  let bestCount = 1;
  for (const [pair, count] of counts) if (count > bestCount) [best, bestCount] = [pair, count];
  return best;
}

function merge(symbols, left, right) {
  for (let i = 0; i + 1 < symbols.length; i += 1) {
    if (symbols[i] === left && symbols[i + 1] === right) symbols.splice(i, 2, left + right);
  }
}

const { tokens, merges } = learnMerges();
const numberOf = new Map(tokens.map((token, index) => [token, index]));
const rankOf = new Map(merges.map((pair, index) => [pair, index]));
const known = new Map();

function encodeWord(word) {
  const before = known.get(word);
  if (before !== undefined) return before;
  const symbols = charactersOf(word);
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i += 1) {
      const rank = rankOf.get(`${symbols[i]} ${symbols[i + 1]}`);
      if (rank !== undefined && rank < bestRank) [best, bestRank] = [i, rank];
    }
    if (best < 0) break;
    symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
  }
  const numbers = symbols.map((symbol) => numberOf.get(symbol));
  known.set(word, numbers);
  return numbers;
}
const encode = (text) => text.match(wordPattern).flatMap(encodeWord);

const numbers = [];
const mask = [];
function append(part, isModelsOwn) {
  for (const number of part) {
    numbers.push(number);
    mask.push(isModelsOwn ? 1 : 0);
  }
}
for (const entry of documents) {
  append([beginToken], true);
  if (entry.t) {
    append([...encode(entry.t), endToken], true);
    continue;
  }
  if (entry.sys) append([systemToken, ...encode(entry.sys), endToken], false);
  for (const [question, answer] of entry.c) {
    append([userToken, ...encode(question), endToken, assistantToken], false);
    append([...encode(answer), endToken], true);
  }
}

writeFileSync('tok.json', JSON.stringify({ tokens, merges, special: specialTokens }));
writeFileSync('train.bin', Buffer.from(Uint16Array.from(numbers).buffer));
writeFileSync('mask.bin', Buffer.from(Uint8Array.from(mask)));
process.stdout.write(`${tokens.length} tokens, ${merges.length} merges, ${numbers.length} training tokens\n`);
