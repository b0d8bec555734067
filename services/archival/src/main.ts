import { runService } from '@cairn/runtime';
import { createArchival } from './archival.ts';
import { readArchivalConfig } from './config.ts';

await runService('archival', (context) => createArchival(readArchivalConfig(), context));
