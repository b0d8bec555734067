export { type RegistryConfig, readRegistryConfig } from './config.ts';
export { createRegistry, type Registry, type RegistryParts } from './registry.ts';
