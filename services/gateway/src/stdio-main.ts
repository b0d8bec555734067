// A gateway for one agent over stdio, as an agent's host starts it:
//     CAIRN_GATEWAY_CONFIG=gateway.yaml CAIRN_CREDENTIAL=… node stdio-main.ts <upstream>
// Standard output is the protocol's; log lines go to standard error.
import { runService } from '@cairn/runtime';
import { readGatewayConfig, readStdioCredential } from './config.ts';
import { createStdioGateway } from './gateway.ts';

await runService(
  'gateway',
  (context) => createStdioGateway(readGatewayConfig(), context, process.argv[2] ?? '', readStdioCredential()),
  { destination: process.stderr },
);
