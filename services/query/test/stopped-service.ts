// The service as main.ts runs it, over a log that is this process's standard output: what it appends is told as `RECORDED {…}`.
// Its argument is how long a stop may wait, in milliseconds.
import type { Kafka } from '@cairn/adapters';
import { decodeDatum, unframe } from '@cairn/event';
import { runService } from '@cairn/runtime';
import { createQuery, readQueryConfig } from '../src/index.ts';

const kafka = {
  log: {
    append: async (_topic: string, _partition: number, values: readonly Uint8Array[]) => {
      for (const value of values) {
        const framed = unframe(value);
        if (!('datum' in framed)) continue;
        const { method, result_status: status, detail } = decodeDatum(framed.datum, framed.schemaId);
        process.stdout.write(`RECORDED ${JSON.stringify({ method, status, detail })}\n`);
      }
    },
  },
  partitionsOf: async () => 2,
} as unknown as Kafka;

await runService('query', async (context) => {
  const query = await createQuery(readQueryConfig(), context, { kafka, drainMsMax: Number(process.argv[2]) });
  process.stdout.write(`PORTS ${JSON.stringify({ port: query.port, healthPort: query.healthPort })}\n`);
  return query;
});
