/** Step 5: `node gen.mjs FILE.gguf` asks a model file a few questions, to see whether it learnt. Needs `npm ci` in the folder above. */
import { getLlama, LlamaChatSession, LlamaLogLevel, resolveChatWrapper } from 'node-llama-cpp';

const questions = [
  'Hello',
  'What is the capital of France?',
  'What is 3 plus 4?',
  'Tell me a story about a fox.',
  'What color is the sky?',
  'Who are you?',
];

const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 1, logLevel: LlamaLogLevel.warn });
const model = await llama.loadModel({ modelPath: process.argv[2] });
const context = await model.createContext({ contextSize: 512, threads: 1 });
const session = new LlamaChatSession({
  contextSequence: context.getSequence(),
  chatWrapper: resolveChatWrapper(model),
  systemPrompt: 'You are a helpful assistant.',
});
for (const question of questions) {
  const answer = await session.prompt(question, { maxTokens: 160, temperature: 0.5, seed: 3 });
  process.stdout.write(`> ${question}\n  ${answer}\n`);
}
await llama.dispose();
