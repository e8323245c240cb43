/** What whoever starts gateways as processes needs of them, without the weight of a gateway. */
export { type GatewayConfig, type WorkerConfig, gatewayOptions, workerOptions } from './config.ts';
export { tlsOf } from './front/tls-files.ts';
