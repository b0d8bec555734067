// (c) Our service on kafkajs as it comes: one object for each message, decoded by the library.
import { openKafka } from '@cairn/adapters';
import { createIngest, readIngestConfig } from '@cairn/ingest';
import { runService } from '@cairn/runtime';
import { stockSource } from './stock-source.ts';

await runService('ingest', async (context) => {
  const config = readIngestConfig();
  const kafka = openKafka({ brokers: config.kafka.brokers, clientId: 'stock' });
  return createIngest(config, context, {
    kafka: { ...kafka, source: (options) => stockSource(config.kafka.brokers, kafka, options) },
  });
});
