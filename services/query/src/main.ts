import { runService } from '@cairn/runtime';
import { readQueryConfig } from './config.ts';
import { createQuery } from './query.ts';

await runService('query', (context) => createQuery(readQueryConfig(), context));
