/** What an engine says of its models decides where they are served: from its answers on a socket to the pools. */
import { eventually } from '@subcloud/testkit/eventually';
import { OLLAMA } from '@subcloud/testkit/recorded-engines';
import { type TestNetwork, type TestNode, startTestNetwork } from '@subcloud/testkit/test-network';
import { afterAll, beforeAll, expect, test } from 'vitest';

const WEIGHTS = 'sha256:dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff';
/** Of the manifest, which is no digest of weights. */
const MANIFEST = 'sha256:a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72';

let network: TestNetwork;
let node: TestNode;

beforeAll(async () => {
  network = await startTestNetwork();
  node = await network.node({ name: 'ollama', answers: OLLAMA, consent: { autoJoin: 'all' } });
  await network.serving('global', node);
});
afterAll(() => network[Symbol.asyncDispose]());

test('what Ollama passes on to another machine is not offered', () => {
  expect(node.agent()?.models()).toEqual(['llama3.2:latest', 'llava:latest']);
});

test.for([
  ['pinned', { allow: [{ id: 'llama3.2:latest', digest: WEIGHTS }] }, null],
  ['by-manifest', { allow: [{ id: 'llama3.2:latest', digest: MANIFEST }] }, 'models.allow'],
  ['four-bits', { quantization: { min: 'int4' } }, null],
  ['eight-bits', { quantization: { min: 'int8' } }, 'models.quantization'],
  ['seeing', { modalities: { all: ['image'] } }, null],
  ['hearing', { modalities: { all: ['audio'] } }, 'models.modalities'],
] as const)('pool %s, which asks for %j: the reason is %s', async ([name, models, reason]) => {
  await network.apply({
    apiVersion: 'subcloud/v1',
    kind: 'Subcloud',
    metadata: { name, owner: 'user:admin' },
    spec: { models, participation: { mode: 'open', autoJoin: true } },
  });
  if (reason === null) await network.serving(name, node);
  else {
    await eventually('it is refused with that reason', async () => {
      const found = await network.admin.call('explainNode', { params: { name, node: node.id } });
      return found.reason === reason && found.state !== 'active';
    });
  }
});
