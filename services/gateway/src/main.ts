import { runService } from '@cairn/runtime';
import { readGatewayConfig } from './config.ts';
import { createGateway } from './gateway.ts';

await runService('gateway', (context) => createGateway(readGatewayConfig(), context));
