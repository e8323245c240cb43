/** A scripted engine on another machine, with the model that it is given; says its address on stdout. */
import { startScriptedEngine } from '@subcloud/testkit/scripted-engine';

const engine = await startScriptedEngine({ models: [process.argv[2] ?? 'm'] });
process.stdout.write(`${engine.url}\n`);
