import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { type ReadyNews, readyPage } from './ready-page.ts';

const news: ReadyNews = {
  url: 'http://127.0.0.1:7700',
  apiKey: 'sck_key',
  dataDir: '/data',
  joinToken: 'scj_token.ab12',
  tlsKeySha256: null,
  agentSha256: 'ab'.repeat(32),
  demo: { model: 'subcloud-demo' },
  tookMs: 2_345,
};

/** The words that a shell makes of the printed curl line. */
function curlWords(page: string): string[] {
  const line = page.split('\n').find((text) => text.trim().startsWith('curl -N')) ?? '';
  return execFileSync('sh', ['-c', `set -- ${line}; printf '%s\\n' "$@"`], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
}

test('the curl line asks the demo model for a stream, as a shell reads it', () => {
  const words = curlWords(readyPage(news));
  expect(words.slice(0, 3)).toEqual(['curl', '-N', 'http://127.0.0.1:7700/v1/chat/completions']);
  expect(words).toContain('authorization: Bearer sck_key');
  expect(JSON.parse(words.at(-1) ?? '')).toEqual({
    model: 'subcloud-demo',
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    temperature: 0,
    stream: true,
  });
});

test('off loopback the key of the certificate is pinned, and other machines are told how to join', () => {
  const page = readyPage({ ...news, url: 'https://192.0.2.1:7700', tlsKeySha256: '00'.repeat(32) });
  expect(curlWords(page).slice(1, 5)).toEqual(['-N', '-k', '--pinnedpubkey', `sha256//${'A'.repeat(43)}=`]);
  expect(page).toContain('agent --join https://192.0.2.1:7700 --token scj_token.ab12');
  expect(page).toContain('Join another machine');
});

test('without the demo the page says why, and shows no line that would fail', () => {
  const page = readyPage({ ...news, demo: { absent: 'another node is enrolled.' } });
  expect(page).toContain('Without the demo: another node is enrolled.');
  expect(page).not.toContain('curl -N');
});
