import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Kafka, openKafka } from '@cairn/adapters';
import { type PartName, type Parts, startTestParts } from '@cairn/local';

/** Kafka, Redis and what else is named, for real. */
export interface AlertingStage extends AsyncDisposable {
  readonly directory: string;
  readonly parts: Parts;
  readonly kafka: Kafka;
}

export async function openAlertingStage(more: readonly PartName[]): Promise<AlertingStage> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['kafka', 'redis', ...more] }));
    const kafka = own.use(openKafka({ brokers: [parts.part('kafka').address], clientId: 'bench' }));
    return { directory, parts, kafka, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}
