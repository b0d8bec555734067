import { describe, expect, test } from '@jest/globals';
import { Readings } from './kafka-readings.ts';

describe('what fetches brought', () => {
  test('is read in order, each piece in a turn of its own', async () => {
    const readings = new Readings();
    const events: string[] = [];
    for (const piece of ['a', 'b', 'c']) {
      readings.add(() => {
        events.push(piece);
        setImmediate(() => events.push(`after ${piece}`));
      });
    }
    expect(events).toEqual([]);
    await readings.done();
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual(['a', 'after a', 'b', 'after b', 'c', 'after c']);
  });

  test('counts as read when all of it was that had been added by then', async () => {
    const readings = new Readings();
    const read: number[] = [];
    readings.add(() => read.push(1));
    readings.add(() => read.push(2));
    const done = readings.done();
    readings.add(() => read.push(3));
    await done;
    expect(read).toEqual([1, 2]);
    await readings.done();
    expect(read).toEqual([1, 2, 3]);
  });
});
