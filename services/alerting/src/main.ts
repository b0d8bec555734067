import { runService } from '@cairn/runtime';
import { createAlerting } from './alerting.ts';
import { readAlertingConfig } from './config.ts';

await runService('alerting', (context) => createAlerting(readAlertingConfig(), context));
