import { join } from 'node:path';
import { frameIdsAt, openKafka } from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { openRecorder, type RecordDraft } from '@cairn/recorder';
import { classOf } from '@cairn/retention';
import { readRetention, VERSION } from '@cairn/runtime';
import type { CliConfig } from './config.ts';

/** The trail of one organisation, in which what is done on the command line stands. */
export interface Acts extends AsyncDisposable {
  /** Resolves when the event is on disk: then it reaches the trail, in its order, whatever happens. */
  record(draft: RecordDraft): Promise<unknown>;
}

/** @param deployment as the root key names it. */
export type OpenActs = (deployment: string, orgId: string) => Promise<Acts>;

/**
 * A recorder as a gateway has it, for one organisation: its own directory, key and stream. Its key counts once it was enrolled.
 *
 * @throws Failure `acts.no-topic` (later), `recorder.locked` (later) while another command acts for the same organisation; of Kafka.
 */
export function actsOf(config: CliConfig): OpenActs {
  return async (deployment, orgId) => {
    const own = new AsyncDisposableStack();
    try {
      const kafka = own.use(
        openKafka({ brokers: config.kafkaBrokers.split(','), clientId: `cairn-${config.acts.id}` }),
      );
      const policy = readRetention(config.retentionFile);
      const topic = topicOf(classOf(policy, orgId, Date.now())?.class ?? 'standard');
      const partitions = await kafka.partitionsOf(topic);
      if (partitions === undefined) throw noTopic(topic);
      const recorder = own.use(
        await openRecorder({
          directory: join(config.acts.directory, orgId),
          deployment,
          gatewayId: config.acts.id,
          gatewayVersion: VERSION,
          environment: '',
          capture: 'system',
          log: (await frameIdsAt(config.schemaRegistryUrl, SCHEMAS)).under(kafka.log),
          topicOf: () => topic,
          partitions,
        }),
      );
      return { record: (draft) => recorder.record(draft), [Symbol.asyncDispose]: () => own.disposeAsync() };
    } catch (error) {
      await own.disposeAsync();
      throw error;
    }
  };
}

const noTopic = (topic: string): Failure =>
  new Failure({
    code: 'acts.no-topic',
    retry: 'later',
    message: `there is no topic ${topic}, so what is done here could not be recorded, and it is not done`,
    mend: 'Start the services, which create their topics; and compare CAIRN_RETENTION_CONFIG with theirs.',
  });
