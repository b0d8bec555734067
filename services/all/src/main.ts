import { runService } from '@cairn/runtime';
import { createAll } from './all.ts';
import { readAllConfig } from './config.ts';

await runService('all', (context) => createAll(readAllConfig(), context));
