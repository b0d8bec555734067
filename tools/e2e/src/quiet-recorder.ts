import { join } from 'node:path';
import { hexOf, partitionOf } from '@cairn/event';
import { openRecorder } from '@cairn/recorder';
import type { ChaosRig } from './chaos-rig.ts';
import { PARTITIONS, TOPIC } from './rig.ts';

/** A gateway's recorder in this process that sends what a test records, when it records it, and nothing by itself. */
export interface QuietRecorder extends AsyncDisposable {
  /** Everything that was recorded, as lines `org gateway epoch seq leaf`. */
  readonly recorded: readonly string[];
  /** Frames that were appended, by partition, in order. */
  readonly frames: ReadonlyMap<number, readonly Uint8Array[]>;
  /** Records events and waits until the log has them. @returns their lines. */
  record(org: string, count: number): Promise<string[]>;
  /** Names of organisations whose streams lie in the partition. */
  orgsOf(partition: number): Generator<string>;
}

export async function openQuietRecorder(rig: ChaosRig, gatewayId: string): Promise<QuietRecorder> {
  const recorded: string[] = [];
  const frames = new Map<number, Uint8Array[]>();
  const recorder = await openRecorder({
    directory: join(rig.directory, gatewayId),
    deployment: 'e2e',
    gatewayId,
    gatewayVersion: '0',
    environment: 'test',
    capture: 'gateway',
    topicOf: () => TOPIC,
    partitions: PARTITIONS,
    // Only what a test records is in the log, beside the opening and one seal.
    seal: { everyMs: 3_600_000, heartbeatMs: 3_600_000 },
    log: {
      async append(topic, partition, values) {
        await rig.kafka.log.append(topic, partition, values);
        frames.set(partition, [...(frames.get(partition) ?? []), ...values]);
      },
    },
  });
  return {
    recorded,
    frames,
    async record(org_id, count) {
      const taken = await Promise.all(
        Array.from({ length: count }, (_, call) =>
          recorder.record({ org_id, kind: 'tool_call', phase: 'single', tool_name: `tool-${call}` }),
        ),
      );
      if (!(await recorder.flush(30_000))) throw new Error('the log did not take what was recorded');
      const lines = taken.map(
        ({ epoch, seq, leafHash }) => `${org_id} ${gatewayId} ${epoch} ${seq} ${hexOf(leafHash)}`,
      );
      recorded.push(...lines);
      return lines;
    },
    *orgsOf(partition) {
      for (let number = 0; ; number += 1) {
        if (partitionOf(`org-${number}`, gatewayId, PARTITIONS) === partition) yield `org-${number}`;
      }
    },
    [Symbol.asyncDispose]: () => recorder.close(),
  };
}
