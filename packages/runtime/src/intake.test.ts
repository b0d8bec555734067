import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Intake, type Reader } from './intake.ts';

const LIMITS = { bufferBytesMax: 100, bytesMax: 50 };

/** A partition whose records are as many bytes as a test says. */
class Partition implements Reader {
  bytes = 0;
  reads = false;
  get isFull(): boolean {
    return this.bytes >= LIMITS.bytesMax;
  }
  pause(): void {
    this.reads = false;
  }
  resume(): void {
    this.reads = true;
  }
}

function intakeOf(...bytes: number[]): { intake: Intake; partitions: Partition[] } {
  const intake = new Intake(LIMITS);
  const partitions = bytes.map((held) => {
    const partition = new Partition();
    partition.bytes = held;
    intake.add(partition);
    return partition;
  });
  return { intake, partitions };
}

describe('an intake', () => {
  test('lets everyone read while little waits', () => {
    const { partitions } = intakeOf(30, 30, 39);
    expect(partitions.map(({ reads }) => reads)).toEqual([true, true, true]);
  });

  test('lets only the partition with the most read when much waits, until a whole chunk of it waits', () => {
    const { intake, partitions } = intakeOf(30, 40, 30);
    expect(partitions.map(({ reads }) => reads)).toEqual([false, true, false]);
    partitions[0]!.bytes = 45;
    partitions[1]!.bytes = 49;
    intake.settle();
    expect(partitions.map(({ reads }) => reads)).toEqual([false, true, false]);
    partitions[1]!.bytes = 50;
    intake.settle();
    expect(partitions.map(({ reads }) => reads)).toEqual([true, false, false]);
  });

  test('lets nobody read while a chunk more than the limit waits, and everyone again when it is loaded', () => {
    const { intake, partitions } = intakeOf(60, 60, 40);
    expect(partitions.some(({ reads }) => reads)).toBe(false);
    partitions[0]!.bytes = 0;
    partitions[1]!.bytes = 0;
    intake.settle();
    expect(partitions.every(({ reads }) => reads)).toBe(true);
  });

  test('turns from a partition that has nothing to the one that waits for the rest of its chunk', () => {
    const { intake, partitions } = intakeOf(0, 60, 40);
    partitions[2]!.bytes = 50;
    intake.settle();
    // The others have whole chunks; one of them is loaded, and what it has read beyond that is half a chunk.
    expect(partitions.map(({ reads }) => reads)).toEqual([true, false, false]);
    partitions[1]!.bytes = 110;
    partitions[2]!.bytes = 30;
    intake.settle();
    expect(partitions.map(({ reads }) => reads)).toEqual([false, false, true]);
  });

  test('pauses a partition that is taken out, and goes on with another', () => {
    const { intake, partitions } = intakeOf(45, 40, 40);
    intake.remove(partitions[0]!);
    expect(partitions.map(({ reads }) => reads)).toEqual([false, true, true]);
  });

  test('never holds more than the limit, a chunk and one fetch of each reader, and never stops for good', () => {
    const steps = fc.array(fc.record({ partition: fc.nat(4), bytes: fc.nat(25) }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (fetched) => {
        const { intake, partitions } = intakeOf(0, 0, 0, 0, 0);
        for (const { partition, bytes } of fetched) {
          const chosen = partitions[partition]!;
          if (chosen.reads) chosen.bytes += bytes;
          intake.settle();
          // What was fetched by all readers at once may come on top, no more.
          expect(intake.bytes).toBeLessThanOrEqual(100 + 50 + 25);
          // Someone reads, or someone has a whole chunk, whose loading makes room.
          expect(partitions.some(({ reads, isFull }) => reads || isFull)).toBe(true);
          const full = partitions.find(({ isFull }) => isFull);
          if (full && !partitions.some(({ reads }) => reads)) full.bytes = 0;
        }
      }),
    );
  });
});
