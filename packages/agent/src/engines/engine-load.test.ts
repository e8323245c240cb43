import { expect, test } from 'vitest';
import { parseLoad } from './engine-load.ts';

test.each([
  [
    'vLLM, one sample a model',
    `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b} 9"} 2.0
vllm:num_requests_running{engine="1",model_name="a"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a"} 0.5
`,
    { running: 3, waiting: 4, kvCacheUsed: 0.5 },
  ],
  [
    'an older vLLM',
    'vllm:num_requests_running 1\nvllm:num_requests_waiting 0\nvllm:gpu_cache_usage_perc 0.9\n',
    { running: 1, waiting: 0, kvCacheUsed: 0.9 },
  ],
  [
    'SGLang',
    'sglang:num_running_reqs{model_name="m"} 7.0\nsglang:num_queue_reqs{model_name="m"} 2.0\nsglang:token_usage{model_name="m"} 0.31\n',
    { running: 7, waiting: 2, kvCacheUsed: 0.31 },
  ],
  [
    'llama.cpp',
    'llamacpp:requests_processing 1\nllamacpp:requests_deferred 3\nllamacpp:n_decode_total 12\n',
    { running: 1, waiting: 3, kvCacheUsed: null },
  ],
  ['something else', 'process_cpu_seconds_total 3\n', undefined],
  ['half of it', 'vllm:num_requests_running 1\n', undefined],
  ['a longer name', 'vllm:num_requests_running_total 1\nvllm:num_requests_waiting_total 1\n', undefined],
  ['no numbers', 'vllm:num_requests_running NaN\nvllm:num_requests_waiting x\n', undefined],
  ['nothing', '', undefined],
])('the load in the metrics of %s', (_what, text, load) => {
  expect(parseLoad(text)).toEqual(load);
});
