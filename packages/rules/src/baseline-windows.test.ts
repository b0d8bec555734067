import { describe, expect, test } from '@jest/globals';
import { HOUR, WEEK } from './baseline.ts';
import { createEvaluator, readRules } from './index.ts';

const { rules } = readRules([
  {
    file: 'rules.yml',
    text: `title: Call
name: called
logsource: { product: cairn }
detection: { call: { kind: tool_call }, condition: call }
---
title: Many calls for this hour
id: volume
correlation:
  type: baseline
  rules: called
  group-by: agent_id
  timespan: 1h
  condition: { deviations: 6, at_least: 10, weeks: 8, weeks_min: 4 }
`,
  },
]);
/** Monday, 09:00 UTC. */
const MONDAY = Date.parse('2026-08-03T09:00:00Z') * 1_000;
const calls = (hour: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({
    org_id: 'acme',
    agent_id: 'a',
    kind: 'tool_call' as const,
    timestamp: hour + index * 1_000_000,
  }));

describe('a baseline over the windows of its own', () => {
  test('fires far above the same hour of the weeks before, though every other hour was busy', () => {
    const evaluator = createEvaluator(rules, 0);
    const fired = [];
    for (let week = 0; week < 7; week += 1)
      for (const [hour, count] of [
        [0, 20],
        [1, 400],
        [5, 3],
      ] as const)
        fired.push(...evaluator.take(calls(MONDAY + week * WEEK + hour * HOUR, count)).firings);
    // In its first four weeks it is above at_least; from then on it is what the agent does.
    expect(fired.filter(({ end }) => end > MONDAY + 4 * WEEK)).toEqual([]);
    const now = MONDAY + 7 * WEEK;
    expect(evaluator.take(calls(now, 40)).firings).toEqual([]);
    const [firing] = evaluator.take(calls(now, 60)).firings;
    expect(firing).toMatchObject({ start: now, end: now + HOUR - 1, measure: 100 });
    expect(evaluator.take(calls(now + HOUR, 420)).firings).toEqual([]);
  });

  test('one alert goes on from an unusual hour into the next', () => {
    const evaluator = createEvaluator(rules, 0);
    const both = [MONDAY, MONDAY + HOUR].flatMap((hour) => evaluator.take(calls(hour, 50)).firings);
    expect(both.length).toBe(2);
    expect(new Set(both.map(({ window }) => window)).size).toBe(1);
  });
});
