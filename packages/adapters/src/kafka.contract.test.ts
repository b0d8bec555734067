import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Parts, startTestParts } from '@cairn/local';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openKafka } from './kafka.ts';

describe('topics on a real broker', () => {
  let directory: string;
  let parts: Parts;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'cairn-kafka-'));
    parts = await startTestParts({ directory, parts: ['kafka'] });
  }, 180_000);
  afterAll(async () => {
    await parts?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  test('topics that several services create at the same time take records as soon as they are there', async () => {
    const topics = Array.from({ length: 12 }, (_, index) => ({
      name: `audit.events.made${index}`,
      partitions: 4,
    }));
    const services = ['one', 'another', 'a third'].map((clientId) =>
      openKafka({ brokers: [parts.part('kafka').address], clientId }),
    );
    await Promise.all(services.map((kafka) => kafka.ensureTopics(topics)));
    await Promise.all(
      topics.flatMap(({ name, partitions }) =>
        Array.from({ length: partitions }, (_, partition) =>
          services[partition % services.length]!.log.append(name, partition, [new Uint8Array([partition])]),
        ),
      ),
    );
    for (const { name, partitions } of topics) {
      const bounds = await services[0]!.boundsOf(name);
      expect([...bounds].sort()).toEqual(
        Array.from({ length: partitions }, (_, partition) => [partition, { first: 0, end: 1 }]),
      );
    }
    await Promise.all(services.map((kafka) => kafka[Symbol.asyncDispose]()));
  }, 60_000);
});
