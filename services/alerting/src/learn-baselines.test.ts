import { describe, expect, test } from '@jest/globals';
import { correlationNamed, rulesOf } from '../test/rules.ts';
import { windowsInMemory } from '../test/windows-in-memory.ts';
import { type EventTable, learnBaselines } from './learn-baselines.ts';

const rules = rulesOf(`title: Call
name: called
logsource: { product: cairn }
detection: { call: { kind: tool_call }, condition: call }
---
title: Unusual hour
id: volume
correlation:
  type: baseline
  rules: called
  group-by: agent_id
  timespan: 1h
  condition: { deviations: 6, at_least: 10, weeks: 3, weeks_min: 2 }
`);
const HOUR_S = 3_600;
const WEEK_S = 168 * HOUR_S;
const NOW_S = Date.parse('2026-11-25T10:00:00Z') / 1_000;

/** Twenty calls of one agent in this hour of each week, and something that is no call. */
function tableOf(asked: string[] = []): EventTable {
  return {
    async query<Row>(sql: string) {
      asked.push(sql);
      const row = { e_org_id: 'acme', e_agent_id: 'a', hour_s: NOW_S - asked.length * WEEK_S };
      return [
        { ...row, e_kind: 'tool_call', events: 12 },
        { ...row, e_kind: 'tool_call', events: 8 },
        { ...row, e_kind: 'seal', events: 999 },
      ] as Row[];
    },
  };
}
const ofNow = (count: number) => {
  const correlation = correlationNamed(rules, 'volume');
  return {
    window: JSON.stringify(['volume', 'acme', 'a', '58']),
    correlation,
    group: ['acme', 'a'],
    merge: 'add' as const,
    cells: [{ tick: NOW_S * 1e6, label: '', count, eventId: new Uint8Array(16).fill(1) }],
  };
};

describe('baselines that are learned from the table', () => {
  test('are in the windows as if their events had been counted, and a second time changes nothing', async () => {
    const windows = await windowsInMemory(0).take('p/0');
    const asked: string[] = [];
    expect(await learnBaselines(tableOf(asked), windows, rules, NOW_S * 1e6 + 5e6)).toBe(3);
    await learnBaselines(tableOf(), windows, rules, NOW_S * 1e6);
    const [view] = await windows.set([ofNow(30)]);
    expect(view?.cells.map(({ tick, count }) => [(NOW_S - tick / 1e6) / WEEK_S, count])).toEqual([
      [3, 20],
      [2, 20],
      [1, 20],
      [0, 30],
    ]);
    // Bounded: one week in one answer, and no more rows than that.
    expect(asked.length).toBe(3);
    for (const sql of asked) expect(sql).toMatch(/GROUP BY .* LIMIT 1000000$/);
  });

  test('leave an hour as it is that was counted already', async () => {
    const windows = await windowsInMemory(0).take('p/0');
    const lastWeek = ofNow(5);
    const cells = lastWeek.cells.map((cell) => ({ ...cell, tick: (NOW_S - WEEK_S) * 1e6 }));
    await windows.set([{ ...lastWeek, cells }]);
    await learnBaselines(tableOf(), windows, rules, NOW_S * 1e6);
    const [view] = await windows.set([ofNow(30)]);
    expect(view?.cells.map(({ count }) => count)).toEqual([20, 20, 5, 30]);
  });

  test('are left alone where the rule looks at what makes every event another one', async () => {
    const each = rulesOf(`title: Call at night
name: called
logsource: { product: cairn }
detection: { call: { timestamp|hour: 3 }, condition: call }
---
title: Unusual hour
id: volume
correlation:
  type: baseline
  rules: called
  timespan: 1h
  condition: { deviations: 6, at_least: 10 }
`);
    const asked: string[] = [];
    await learnBaselines(tableOf(asked), await windowsInMemory(0).take('p/0'), each, NOW_S * 1e6);
    expect(asked).toEqual([]);
  });
});
