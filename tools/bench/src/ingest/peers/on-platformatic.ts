// (d) Our service on @platformatic/kafka.
import { openKafka } from '@cairn/adapters';
import { createIngest, readIngestConfig } from '@cairn/ingest';
import { runService } from '@cairn/runtime';
import { platformaticSource } from './platformatic-source.ts';

await runService('ingest', async (context) => {
  const config = readIngestConfig();
  const kafka = openKafka({ brokers: config.kafka.brokers, clientId: 'platformatic' });
  return createIngest(config, context, {
    kafka: { ...kafka, source: (options) => platformaticSource(config.kafka.brokers, kafka, options) },
  });
});
