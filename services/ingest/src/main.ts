import { runService } from '@cairn/runtime';
import { readIngestConfig } from './config.ts';
import { createIngest } from './ingest.ts';

await runService('ingest', (context) => createIngest(readIngestConfig(), context));
