/** A share of the agents of bench:links, in a process of its own; answers over IPC how many of them are linked. */
import { type SimulatedAgentsOptions, startSimulatedAgents } from '@subcloud/testkit/simulated-agents';

const options = JSON.parse(process.argv[2] ?? '{}') as SimulatedAgentsOptions;
const agents = startSimulatedAgents(options);
setInterval(() => process.send?.({ linked: agents.linked() }), 100);
process.once('disconnect', () => process.exit(0));
