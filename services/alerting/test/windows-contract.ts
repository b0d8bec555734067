import { judgeWindow, type WindowAddition, type WindowView, windowKey } from '@cairn/rules';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EpisodeFirings, Windows } from '../src/windows.ts';
import { correlationNamed, rulesOf } from './rules.ts';
import { windowsInMemory } from './windows-in-memory.ts';

export const rules = rulesOf();
const denials = correlationNamed(rules, 'repeated-denials');
const tools = correlationNamed(rules, 'many-tools');
const undeleted = correlationNamed(rules, 'undeleted');
export const BASE = 1_790_000_000_000_000;
export const LATENESS = 60_000_000;
const SECOND = 1_000_000;

const idOf = (number: number): Uint8Array => new Uint8Array(16).fill(number % 256);
export function addition(
  agent: string,
  cells: readonly (readonly [second: number, count: number, label?: string])[],
  correlation = denials,
): WindowAddition {
  const group = ['acme', agent];
  return {
    window: windowKey(correlation, group),
    correlation,
    group,
    merge: 'add',
    cells: cells.map(([second, count, label = '']) => ({
      tick: BASE + second * SECOND,
      label,
      count,
      eventId: idOf(second),
    })),
  };
}
const batch = (expected: number | undefined, last: number, additions: readonly WindowAddition[]) => ({
  expected,
  last,
  oldest: Math.min(BASE, ...additions.map(({ cells }) => cells[0]?.tick ?? BASE)),
  streams: new Map<string, string>(),
  additions,
});
const seen = (views: readonly WindowView[]) =>
  views.map(({ group, cells }) => [
    group[1],
    cells.map(({ tick, label, count }) => [(tick - BASE) / SECOND, label, count]),
  ]);
const firing = (more: Partial<EpisodeFirings> = {}): EpisodeFirings => ({
  window: 'w',
  ends: [BASE],
  timespan: 60 * SECOND,
  measure: 3,
  facts: () => '{}',
  told: false,
  ...more,
});

/** What every store of windows promises. @param fresh an empty one of this lateness, for each test. */
export function holdWindowsToTheirPromises(fresh: () => Windows): void {
  describe('counts', () => {
    test('move together with the offset, and a batch that comes again is refused and changes nothing', async () => {
      const store = fresh();
      const windows = await store.take('p/0');
      expect([windows.offset, windows.streams]).toEqual([undefined, new Map()]);
      expect(seen(await windows.add(batch(undefined, 9, [addition('a', [[0, 2]])])))).toEqual([]);
      const again = windows.add(batch(undefined, 9, [addition('a', [[0, 2]])]));
      await expect(again).rejects.toMatchObject({ code: 'windows.moved', retry: 'yes' });
      const next = [
        [0, 1],
        [5, 1],
      ] as const;
      expect(seen(await windows.add(batch(9, 19, [addition('a', next)])))).toEqual([
        [
          'a',
          [
            [0, '', 3],
            [5, '', 1],
          ],
        ],
      ]);
      expect((await store.take('p/0')).offset).toBe(19);
    });

    test('of several partitions come together in one window, each with its own offset', async () => {
      const store = fresh();
      const [first, second] = [await store.take('p/0'), await store.take('p/1')];
      await first.add(batch(undefined, 9, [addition('a', [[0, 2]])]));
      const views = await second.add(batch(undefined, 4, [addition('a', [[1, 1]])]));
      expect(seen(views)).toEqual([
        [
          'a',
          [
            [0, '', 2],
            [1, '', 1],
          ],
        ],
      ]);
      expect([(await store.take('p/0')).offset, (await store.take('p/1')).offset]).toEqual([9, 4]);
    });

    test('are moved by the owner alone: who had the partition before changes nothing any more', async () => {
      const store = fresh();
      const before = await store.take('p/0');
      const now = await store.take('p/0');
      const failure = { code: 'windows.fenced', retry: 'yes' };
      const added = addition('a', [[0, 3]]);
      await expect(before.add(batch(undefined, 9, [added]))).rejects.toMatchObject(failure);
      await expect(before.look([added])).rejects.toMatchObject(failure);
      await expect(before.set([added])).rejects.toMatchObject(failure);
      await expect(before.continueEpisodes([firing()])).rejects.toMatchObject(failure);
      await expect(before.markTold([{ window: 'w', since: BASE }])).rejects.toMatchObject(failure);
      await expect(before.ending(BASE, 1)).rejects.toMatchObject(failure);
      await expect(before.close([{ window: 'w', since: BASE, until: BASE }])).rejects.toMatchObject(failure);
      await expect(before.closing(BASE, 1)).rejects.toMatchObject(failure);
      await expect(before.closed([{ window: added.window, next: undefined }], BASE)).rejects.toMatchObject(
        failure,
      );
      expect(await now.look([added])).toEqual([]);
      expect(await now.ending(Number.MAX_SAFE_INTEGER, 1)).toEqual([]);
      await now.add(batch(undefined, 9, [added]));
    });

    test('are whole once somebody said so, until they are lost', async () => {
      const store = fresh();
      const windows = await store.take('p/0');
      expect(windows.isWhole).toBe(false);
      await windows.markWhole();
      expect([(await store.take('p/0')).isWhole, (await store.take('p/1')).isWhole]).toEqual([true, false]);
    });

    test('are looked at without being changed, as often as one likes', async () => {
      const windows = await fresh().take('p/0');
      const added = addition('a', [[0, 3]]);
      const views = seen(await windows.add(batch(undefined, 9, [added])));
      expect(seen(await windows.look([added]))).toEqual(views);
      expect(seen(await windows.look([added]))).toEqual(views);
    });

    test('of chained correlations stay what they were when they are found again', async () => {
      const windows = await fresh().take('p/0');
      const added = { ...addition('a', [[0, 3]]), merge: 'set' as const };
      const views = seen(await windows.set([added]));
      expect(seen(await windows.set([added]))).toEqual(views);
    });

    test('keep hostile labels and groups apart, whatever stands in them', async () => {
      const windows = await fresh().take('p/0');
      const labels = ['', ':', '1:2', '#', '^', '~', '\n', '\0', 'é', '😀', '"]'];
      const cells = labels.toSorted().map((label) => [0, 1, label] as const);
      const views = await windows.add(batch(undefined, 1, [addition('a"]\n:', cells, tools)]));
      expect(views[0]?.cells.map(({ label }) => label).toSorted()).toEqual(labels.toSorted());
    });

    test('that are judged at their close are given back then, and not before, until all that ended of them was judged', async () => {
      const windows = await fresh().take('p/0');
      const added = [
        addition('a', [[0, 1, '0']], undeleted),
        addition('b', [[5, 1, '0']], undeleted),
        addition('c', [[9, 1, '0']], undeleted),
      ];
      expect(await windows.add(batch(undefined, 9, added))).toEqual([]);
      const closing = async (second: number): Promise<unknown[]> =>
        (await windows.closing(BASE + second * SECOND, 10)).map(({ view, endedAt }) => [
          view.group[1],
          (endedAt - BASE) / SECOND,
        ]);
      expect(await closing(59)).toEqual([]);
      const both = [
        ['a', 60],
        ['b', 65],
      ];
      expect(await closing(66)).toEqual(both);
      const [a, b, c] = added.map(({ window }) => window);
      const closed = [
        { window: a!, next: undefined },
        { window: b!, next: BASE + 70 * SECOND },
        // Was not over, so that nobody can have judged it.
        { window: c!, next: undefined },
      ];
      await windows.closed(closed, BASE + 66 * SECOND);
      await windows.closed(closed, BASE + 66 * SECOND);
      expect(await closing(80)).toEqual([
        ['c', 69],
        ['b', 70],
      ]);
    });

    test('that are judged at their close keep what was not judged of them, however long nothing came', async () => {
      const windows = await fresh().take('p/0');
      const day = 86_400;
      await windows.add(batch(undefined, 1, [addition('a', [[0, 1, '0']], undeleted)]));
      const late = addition('a', [[day, 1, '1']], undeleted);
      await windows.add({ ...batch(1, 2, [late]), oldest: BASE + day * SECOND });
      const [found] = await windows.closing(BASE + day * SECOND, 10);
      expect(seen([found!.view])).toEqual([
        [
          'a',
          [
            [0, '0', 1],
            [day, '1', 1],
          ],
        ],
      ]);
      // Once it was judged, nobody asks for it.
      await windows.closed([{ window: late.window, next: undefined }], BASE + day * SECOND);
      const later = addition('a', [[2 * day, 1, '0']], undeleted);
      await windows.add({ ...batch(2, 3, [later]), oldest: BASE + 2 * day * SECOND });
      const [next] = await windows.closing(BASE + 3 * day * SECOND, 10);
      expect(seen([next!.view])).toEqual([['a', [[2 * day, '0', 1]]]]);
    });

    test('keep the streams that were counted, so that what a gateway sends twice counts once', async () => {
      const store = fresh();
      const windows = await store.take('p/0');
      await windows.add({
        ...batch(undefined, 1, []),
        streams: new Map([
          ['acme gw', '1 5'],
          ['b', '1 1'],
        ]),
      });
      await windows.add({ ...batch(1, 2, []), streams: new Map([['acme gw', '2 0']]) });
      const { streams } = await store.take('p/0');
      expect(streams).toEqual(
        new Map([
          ['acme gw', '2 0'],
          ['b', '1 1'],
        ]),
      );
    });

    test('lead to the firings of the reference, for any batches in any order within the lateness', async () => {
      const cell = fc.tuple(
        fc.nat(300),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom('x', 'y', 'z', 'v', 'u'),
      );
      const some = fc.array(
        fc.record({
          agent: fc.constantFrom('a', 'b'),
          isTools: fc.boolean(),
          cells: fc.array(cell, { minLength: 1, maxLength: 6 }),
        }),
        { maxLength: 3 },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(some, { maxLength: 25 }), async (batches) => {
          const windows = await fresh().take('p/0');
          const reference = await windowsInMemory(LATENESS).take('p/0');
          for (const [index, parts] of batches.entries()) {
            const additions = parts.map(({ agent, isTools, cells }) => {
              const distinct = new Map(
                cells.map(([second, count, label]) => [
                  `${second} ${isTools ? label : ''}`,
                  [second, count, isTools ? label : ''] as const,
                ]),
              );
              const sorted = [...distinct.values()].sort((a, b) => a[0] - b[0] || (a[2] < b[2] ? -1 : 1));
              return addition(agent, sorted, isTools ? tools : denials);
            });
            const one = batch(index === 0 ? undefined : index - 1, index, additions);
            // Windows come in no order.
            const fired = (views: readonly WindowView[]) =>
              views
                .toSorted((a, b) => (a.window < b.window ? -1 : 1))
                .flatMap((view) => {
                  const ticks = additions
                    .filter(({ window }) => window === view.window)
                    .flatMap(({ cells }) => cells.map(({ tick }) => tick));
                  const newest = Math.max(...view.cells.map(({ tick }) => tick));
                  // Later than that an event is late, and whether it still counts is not promised.
                  const from = Math.max(Math.min(...ticks), newest - LATENESS);
                  return judgeWindow(view, from, Math.max(...ticks)).map(({ window, end, measure }) => [
                    window,
                    end,
                    measure,
                  ]);
                });
            expect(fired(await windows.add(one))).toEqual(fired(await reference.add(one)));
          }
        }),
        { numRuns: 60 },
      );
    });
  });

  describe('episodes', () => {
    test('go on while firings follow each other, and a firing that is found again changes nothing', async () => {
      const windows = await fresh().take('p/0');
      const [first] = await windows.continueEpisodes([firing()]);
      expect(first).toMatchObject({ since: BASE, until: BASE, peak: 3, firings: 1, told: false });
      const later = firing({ ends: [BASE + 60 * SECOND], measure: 9 });
      const [second] = await windows.continueEpisodes([later]);
      expect(second).toMatchObject({ since: BASE, until: BASE + 60 * SECOND, peak: 9, firings: 2 });
      expect(await windows.continueEpisodes([firing(), later])).toEqual([second, second]);
    });

    test('come to the same whether firings are given one by one or together, and however often', async () => {
      const ends = [0, 1, 1, 30, 85].map((second) => BASE + second * SECOND);
      const single = await fresh().take('p/0');
      const together = await fresh().take('p/0');
      for (const end of ends) await single.continueEpisodes([firing({ ends: [end] })]);
      await together.continueEpisodes([firing({ ends: ends.slice(0, 3) })]);
      await together.continueEpisodes([firing({ ends })]);
      const expected = await single.continueEpisodes([firing({ ends: [BASE] })]);
      expect(expected).toMatchObject([{ since: BASE, until: BASE + 85 * SECOND, firings: 4 }]);
      expect(await together.continueEpisodes([firing({ ends })])).toEqual(expected);
    });

    test('stay told, and one that was never told says so when its firing comes again', async () => {
      const windows = await fresh().take('p/0');
      await windows.continueEpisodes([firing()]);
      expect((await windows.continueEpisodes([firing()]))[0]?.told).toBe(false);
      await windows.markTold([{ window: 'w', since: BASE }]);
      await windows.markTold([{ window: 'w', since: BASE }]);
      expect((await windows.continueEpisodes([firing()]))[0]?.told).toBe(true);
    });

    test('end when nothing followed for a timespan and the lateness, are given until they are forgotten, and not before', async () => {
      const windows = await fresh().take('p/0');
      await windows.continueEpisodes([firing()]);
      const end = BASE + 60 * SECOND + LATENESS;
      expect(await windows.ending(end - 1, 10)).toEqual([]);
      const [ending] = await windows.ending(end, 10);
      expect(await windows.ending(end, 10)).toEqual([ending]);
      await windows.close([ending!]);
      await windows.close([ending!]);
      expect(await windows.ending(end, 10)).toEqual([]);
    });

    test('that ended are found by firings that are found again, and stay ended', async () => {
      const windows = await fresh().take('p/0');
      await windows.continueEpisodes([firing(), firing({ ends: [BASE + 10 * SECOND] })]);
      await windows.markTold([{ window: 'w', since: BASE }]);
      await windows.close(await windows.ending(Number.MAX_SAFE_INTEGER, 10));
      const again = await windows.continueEpisodes([firing({ ends: [BASE + 10 * SECOND] })]);
      expect(again).toMatchObject([{ since: BASE, told: true, firings: 2 }]);
      expect(await windows.ending(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
      const [next] = await windows.continueEpisodes([firing({ ends: [BASE + 100 * SECOND] })]);
      expect(next).toMatchObject({ since: BASE + 100 * SECOND, told: false });
      expect((await windows.ending(Number.MAX_SAFE_INTEGER, 10)).map(({ since }) => since)).toEqual([
        next?.since,
      ]);
    });

    test('that went on after they were looked at are not forgotten', async () => {
      const windows = await fresh().take('p/0');
      await windows.continueEpisodes([firing()]);
      const [ending] = await windows.ending(Number.MAX_SAFE_INTEGER, 10);
      await windows.continueEpisodes([firing({ ends: [BASE + SECOND] })]);
      await windows.close([ending!]);
      expect(await windows.ending(Number.MAX_SAFE_INTEGER, 10)).toMatchObject([{ until: BASE + SECOND }]);
    });

    test('that another one replaced end all the same, each under its own beginning', async () => {
      const windows = await fresh().take('p/0');
      await windows.continueEpisodes([firing(), firing({ ends: [BASE + 200 * SECOND] })]);
      await windows.markTold([{ window: 'w', since: BASE }]);
      const ending = await windows.ending(Number.MAX_SAFE_INTEGER, 10);
      expect(ending.map(({ since, told }) => [since - BASE, told])).toEqual([
        [0, true],
        [200 * SECOND, false],
      ]);
      await windows.close(ending);
      expect(await windows.ending(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
    });

    test('keep what is told of them, whatever stands in it', async () => {
      const windows = await fresh().take('p/0');
      const facts = JSON.stringify({ group: ['a\n:"', '\0', '😀'] });
      const [state] = await windows.continueEpisodes([firing({ window: 'w\n:"😀', facts: () => facts })]);
      expect(state).toMatchObject({ window: 'w\n:"😀', facts });
    });
  });
}
