import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLog } from '@subcloud/kit/log';
import { controllableClock } from '@subcloud/testkit/controllable-clock';
import { eventually } from '@subcloud/testkit/eventually';
import { startTestAgent } from '@subcloud/testkit/peer-agent';
import { startPeerGateway } from '@subcloud/testkit/peer-gateway';
import { expect, onTestFinished, test } from 'vitest';
import { watchHardware } from './watch-hardware.ts';

const fixture = (path: string): string => fileURLToPath(new URL(`../../fixtures/${path}`, import.meta.url));

/** A machine with these tools (scripts that answer as recorded) and kernel files, and nothing else. */
function machine() {
  const root = mkdtempSync(join(tmpdir(), 'machine-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const folder = join(root, 'bin');
  mkdirSync(folder);
  const clock = controllableClock();
  const hardware = watchHardware({ clock, log: silentLog, toolFolders: [folder], root });
  onTestFinished(() => {
    hardware.stop();
    clock[Symbol.dispose]();
  });
  let changes = 0;
  hardware.onChange(() => changes++);
  return {
    folder,
    clock,
    hardware,
    changes: () => changes,
    tool: (name: string, script: string): void => {
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, name), 0o755);
    },
    file: (path: string, text: string): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    },
  };
}

const says = (path: string): string => `exec /bin/cat '${fixture(path)}'`;

function nvidiaSmi(answers: { readonly query: string; readonly cc?: string; readonly devTools?: string }): string {
  const { query, cc = 'exit 6', devTools = 'exit 6' } = answers;
  return `case "$*" in --query-gpu=*) ${query};; *conf-compute*-f*) ${cc};; *conf-compute*-d*) ${devTools};; *) exit 2;; esac`;
}

test('a machine without GPUs and tools declares none', async () => {
  const { hardware, changes } = machine();
  await hardware.use('auto');
  expect(hardware.current).toBeNull();
  expect(changes()).toBe(0);
});

test('the tools of both makers are asked, and what they say is a fact', async () => {
  const { tool, hardware } = machine();
  tool('nvidia-smi', nvidiaSmi({ query: says('nvidia-smi/h100-two.csv') }));
  tool('rocm-smi', says('rocm-smi/rx-7900-xt.json'));
  await hardware.use('auto');
  expect(hardware.current?.gpus).toEqual([
    { model: 'H100', driverName: 'NVIDIA H100 80GB HBM3', vramGiB: 81_559 / 1024, confidential: null },
    { model: 'H100', driverName: 'NVIDIA H100 80GB HBM3', vramGiB: 81_559 / 1024, confidential: null },
    { model: 'RX 7900 XT', driverName: 'Radeon RX 7900 XT', vramGiB: 21_458_059_264 / 2 ** 30, confidential: null },
  ]);
});

test.for([
  ['on', 'conf-compute-on', 'conf-compute-dev-tools-off', true],
  ['off', 'conf-compute-off', 'conf-compute-dev-tools-off', false],
  ['on in developer mode', 'conf-compute-on', 'conf-compute-dev-tools-on', false],
  ['on, developer mode not told', 'conf-compute-on', 'conf-compute-none', null],
  ['not told', 'conf-compute-none', 'conf-compute-none', null],
] as const)('confidential computing %s', async ([, cc, devTools, confidential]) => {
  const { tool, hardware } = machine();
  tool(
    'nvidia-smi',
    nvidiaSmi({
      query: says('nvidia-smi/h100-two.csv'),
      cc: says(`nvidia-smi/${cc}.txt`),
      devTools: says(`nvidia-smi/${devTools}.txt`),
    }),
  );
  await hardware.use('auto');
  expect(hardware.current?.gpus.map((gpu) => gpu.confidential)).toEqual([confidential, confidential]);
});

test('a driver that does not know of MIG is asked without it', async () => {
  const { tool, hardware } = machine();
  tool(
    'nvidia-smi',
    `case "$*" in *mig.mode*) /bin/cat '${fixture('nvidia-smi/unknown-field.txt')}'; exit 2;; --query-gpu=*) ${says('nvidia-smi/l40s-two-old-query.csv')};; *) exit 2;; esac`,
  );
  await hardware.use('auto');
  expect(hardware.current?.gpus.map(({ model }) => model)).toEqual(['L40S', 'L40S']);
});

test('where the tools are missing or fail the kernel is read', async () => {
  const { tool, file, hardware } = machine();
  tool('nvidia-smi', `${says('nvidia-smi/failed.txt').replace('exec ', '')}; exit 9`);
  file('proc/driver/nvidia/gpus/0000:01:00.0/information', 'Model: \t\t NVIDIA GeForce RTX 3090\nIRQ:   \t\t 130\n');
  file('sys/class/drm/card1/device/vendor', '0x1002\n');
  file('sys/class/drm/card1/device/device', '0x744c\n');
  file('sys/class/drm/card1/device/mem_info_vram_total', '25753026560\n');
  file('sys/class/drm/card0/device/vendor', '0x8086\n');
  await hardware.use('auto');
  expect(hardware.current?.gpus).toEqual([
    { model: 'RTX 3090', driverName: 'NVIDIA GeForce RTX 3090', vramGiB: null, confidential: null },
    { model: null, driverName: 'AMD GPU 0x744c', vramGiB: 25_753_026_560 / 2 ** 30, confidential: null },
  ]);
});

test('a tool that hangs is ended, and what it said before stands', async () => {
  const { tool, folder, clock, hardware, changes } = machine();
  tool('nvidia-smi', nvidiaSmi({ query: says('nvidia-smi/h100-two.csv') }));
  await hardware.use('auto');
  expect(changes()).toBe(1);
  tool('nvidia-smi', `echo $$ > '${folder}/pid'; while :; do /bin/sleep 1; done`);
  const looking = hardware.look();
  await eventually(
    'it runs',
    () => existsSync(join(folder, 'pid')) && readFileSync(join(folder, 'pid'), 'utf8') !== '',
  );
  clock.advance(20_000);
  await looking;
  expect(() => process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 0)).toThrow();
  expect(hardware.current?.gpus).toHaveLength(2);
  expect(changes()).toBe(1);
});

test('a tool without end in its output is ended', async () => {
  const { tool, hardware } = machine();
  tool('nvidia-smi', 'while :; do echo "NVIDIA H100 80GB HBM3, 81559, Disabled"; done');
  await hardware.use('auto');
  expect(hardware.current).toBeNull();
});

test('a tool sees nothing of the agent’s environment', async () => {
  const { tool, folder, hardware } = machine();
  tool('nvidia-smi', `/usr/bin/env > '${folder}/env'; exit 1`);
  process.env['SUBCLOUD_TEST_MARK'] = 'secret';
  onTestFinished(() => void delete process.env['SUBCLOUD_TEST_MARK']);
  await hardware.use('auto');
  expect(readFileSync(join(folder, 'env'), 'utf8')).toContain('PATH=');
  expect(readFileSync(join(folder, 'env'), 'utf8')).not.toContain('secret');
});

test('the machine is looked at every ten minutes, and only a difference is news', async () => {
  const { tool, folder, clock, hardware, changes } = machine();
  const counted = (query: string): string => `echo x >> '${folder}/count'; ${nvidiaSmi({ query })}`;
  const looks = (): number => readFileSync(join(folder, 'count'), 'utf8').split('x').length - 1;
  tool('nvidia-smi', counted(says('nvidia-smi/h100-two.csv')));
  await hardware.use('auto');
  const once = looks();
  clock.advance(599_000);
  await hardware.use('auto');
  const before = looks();
  expect(before).toBe(2 * once);
  clock.advance(1_000);
  await eventually('it was looked at again', () => looks() === 3 * once);
  await hardware.look();
  expect(changes()).toBe(1);
  tool('nvidia-smi', counted(says('nvidia-smi/mixed.csv')));
  clock.advance(600_000);
  await eventually('the change is known', () => changes() === 2);
  expect(hardware.current?.gpus).toHaveLength(5);
});

test('`none` tells nothing, also of what was told before', async () => {
  const { tool, hardware, changes } = machine();
  tool('nvidia-smi', nvidiaSmi({ query: says('nvidia-smi/h100-two.csv') }));
  await hardware.use('auto');
  await hardware.use('none');
  expect(hardware.current).toBeNull();
  expect(changes()).toBe(2);
});

test('`none` holds also against a look that is still under way', async () => {
  const { tool, folder, hardware } = machine();
  const query = `while [ ! -e '${folder}/go' ]; do /bin/sleep 0.05; done; ${says('nvidia-smi/h100-two.csv')}`;
  tool('nvidia-smi', nvidiaSmi({ query }));
  const looking = hardware.use('auto');
  await hardware.use('none');
  writeFileSync(join(folder, 'go'), '');
  await looking;
  expect(hardware.current).toBeNull();
});

test('an agent declares its GPUs, and no longer when its operator says so', async () => {
  const { tool, folder } = machine();
  tool('nvidia-smi', nvidiaSmi({ query: says('nvidia-smi/h100-two.csv') }));
  await using gateway = await startPeerGateway();
  await using agent = await startTestAgent({
    url: gateway.url,
    joinToken: gateway.joinToken,
    toolFolders: [folder],
    config: { hardware: 'auto' },
  });
  const link = await gateway.link();
  const declared = await link.declaration(() => true);
  expect(declared.hardware?.gpus.map(({ model }) => model)).toEqual(['H100', 'H100']);
  agent.update({ hardware: 'none' });
  await link.declaration(({ hardware }) => hardware === null);
});
