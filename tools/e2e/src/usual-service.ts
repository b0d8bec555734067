import { createServer } from 'node:http';

/*
 * The usual service (tools/bench/src/ingest/peers/usual.ts) with an answer for whoever asks whether it runs, so that it can
 * be started, killed and started again as ingest is.
 */
createServer((_, response) => response.end('ready\n')).listen(
  Number(process.env['CHAOS_PORT'] ?? 0),
  '127.0.0.1',
);
await import('../../bench/src/ingest/peers/usual.ts');
