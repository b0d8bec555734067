import { runService } from '@cairn/runtime';
import { readRegistryConfig } from './config.ts';
import { createRegistry } from './registry.ts';

await runService('registry', (context) => createRegistry(readRegistryConfig(), context));
