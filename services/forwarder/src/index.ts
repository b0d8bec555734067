export { type ForwarderConfig, readForwarderConfig } from './config.ts';
export { createForwarder, type Forwarder } from './forwarder.ts';
