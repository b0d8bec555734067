import { runService } from '@cairn/runtime';
import { readForwarderConfig } from './config.ts';
import { createForwarder } from './forwarder.ts';

await runService('forwarder', (context) => createForwarder(readForwarderConfig(), context));
