/** Said to the network at enrolment, at each link and in declarations. */
export const AGENT_VERSION = '0.1.0';
