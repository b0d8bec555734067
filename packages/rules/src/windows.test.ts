import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createEvaluator, episodesOf, type Firing, mergeCells, type RuleEvent } from './index.ts';
import { detectionText, eventAt, rulesOf, SECOND } from './testing/sample-event.ts';

const ACTIONS = ['read', 'create', 'update', 'delete'] as const;
const BASE = ACTIONS.map((action) =>
  detectionText(`{s: {action: ${action}}, condition: s}`).replace(
    'id: t',
    `id: ${action}\nname: did_${action}`,
  ),
).join('---\n');

const correlated = (correlation: string, more = ''): ReturnType<typeof rulesOf> =>
  rulesOf(`${BASE}---\ntitle: C\nid: c\ncorrelation: ${correlation}\n${more}`);

const firingsOf = (
  correlation: string,
  events: readonly RuleEvent[],
  closedAt?: number,
): readonly Firing[] => {
  const evaluator = createEvaluator(correlated(correlation), 0);
  const { firings } = evaluator.take(events);
  return closedAt === undefined ? firings : [...firings, ...evaluator.close(closedAt * SECOND)];
};
const endsOf = (firings: readonly Firing[]): number[] => firings.map(({ end }) => end / SECOND);
const reads = (...seconds: number[]): RuleEvent[] =>
  seconds.map((at) => eventAt(at, { action: 'read', agent_id: 'a' }));

describe('windows', () => {
  const TWO = '{type: event_count, rules: did_read, group-by: agent_id, timespan: 10s, condition: {gte: 2}}';

  test('reach back exactly their timespan, both ends inside', () => {
    expect(endsOf(firingsOf(TWO, reads(0, 10)))).toEqual([10]);
    const late = eventAt(10, { action: 'read', agent_id: 'a', timestamp: 10 * SECOND + 1 });
    expect(firingsOf(TWO, [...reads(0), late])).toEqual([]);
  });

  test('do not begin at full minutes: what lies around a border counts together', () => {
    expect(endsOf(firingsOf(TWO, reads(59, 61)))).toEqual([61]);
  });

  test('never reach over organisations, and leave out events without a value of the group', () => {
    const events = [
      eventAt(1, { action: 'read', agent_id: 'a', org_id: 'x' }),
      ...reads(2),
      eventAt(3, { action: 'read' }),
      eventAt(4, { action: 'read' }),
    ];
    expect(firingsOf(TWO, events)).toEqual([]);
  });

  test('a late event fires the windows that it completes, also those that end after it', () => {
    const evaluator = createEvaluator(correlated(TWO), 60 * SECOND);
    expect(evaluator.take(reads(20)).firings).toEqual([]);
    expect(endsOf(evaluator.take(reads(15)).firings)).toEqual([20]);
  });

  test('an event counts once, though two rules of the correlation hold for it', () => {
    const rules = rulesOf(
      `${BASE}---\n${detectionText('{s: {agent_id: a}, condition: s}')}---\ntitle: C\nid: c\ncorrelation: {type: event_count, rules: [did_read, t], timespan: 1m, condition: {gte: 2}}\n`,
    );
    expect(createEvaluator(rules, 0).take(reads(1)).firings).toEqual([]);
  });

  test('count distinct values without regard to case', () => {
    const events = ['x', 'X', 'y'].map((tool_name, index) => eventAt(index, { action: 'read', tool_name }));
    const rule = '{type: value_count, rules: did_read, timespan: 1m, condition: {field: tool_name, gte: 2}}';
    expect(endsOf(firingsOf(rule, events))).toEqual([2]);
  });

  test('a range of counts has both its limits', () => {
    const rule = '{type: event_count, rules: did_read, timespan: 1h, condition: {gt: 1, lte: 3}}';
    expect(endsOf(firingsOf(rule, reads(1, 2, 3, 4)))).toEqual([2, 3]);
  });

  test('temporal asks for all its rules in any order, temporal_ordered for each strictly after the one before', () => {
    const event = (at: number, action: (typeof ACTIONS)[number]): RuleEvent => eventAt(at, { action });
    const rules = 'rules: [did_read, did_create], timespan: 10s';
    const backwards = [event(1, 'create'), event(2, 'read')];
    expect(endsOf(firingsOf(`{type: temporal, ${rules}}`, backwards))).toEqual([2]);
    expect(firingsOf(`{type: temporal_ordered, ${rules}}`, backwards)).toEqual([]);
    expect(firingsOf(`{type: temporal_ordered, ${rules}}`, [event(2, 'read'), event(2, 'create')])).toEqual(
      [],
    );
    expect(
      endsOf(firingsOf(`{type: temporal_ordered, ${rules}}`, [event(2, 'read'), event(3, 'create')])),
    ).toEqual([3]);
  });

  test('a chain of one is a chain, when one is enough', () => {
    const rule =
      '{type: temporal_ordered, rules: [did_read, did_create], timespan: 10s, condition: {gte: 1}}';
    expect(endsOf(firingsOf(rule, reads(1)))).toEqual([1]);
  });

  test('aliases bring different fields of different rules together', () => {
    const rule =
      '{type: temporal, rules: [did_read, did_create], group-by: who, timespan: 10s, aliases: {who: {did_read: agent_id, did_create: client_name}}}';
    const events = [
      eventAt(1, { action: 'read', agent_id: 'Ada' }),
      eventAt(2, { action: 'create', client_name: 'ada', agent_id: 'x' }),
    ];
    const [firing] = firingsOf(rule, events);
    expect(firing?.group).toEqual(['acme', 'ada']);
    expect(firing?.eventIds).toEqual(events.map(({ event_id }) => event_id));
  });

  test('not fires when time has passed without the other rule, once, and not before', () => {
    const rule =
      '{type: temporal, rules: [did_read, did_create], group-by: agent_id, timespan: 10s, condition: did_read and not did_create}';
    expect(firingsOf(rule, reads(1), 10)).toEqual([]);
    expect(endsOf(firingsOf(rule, reads(1), 11))).toEqual([11]);
    const answered = [...reads(1), eventAt(11, { action: 'create', agent_id: 'a' })];
    expect(firingsOf(rule, answered, 60)).toEqual([]);
    // Nothing came for a day, so that nobody knew that its time was over.
    expect(endsOf(firingsOf(rule, reads(1, 86_400), 86_400))).toEqual([11]);
    const evaluator = createEvaluator(correlated(rule), 0);
    evaluator.take(reads(1));
    expect([evaluator.close(11 * SECOND).length, evaluator.close(99 * SECOND).length]).toEqual([1, 0]);
  });

  test('a correlation counts the firings of another', () => {
    const rules = rulesOf(
      `${BASE}---\ntitle: Many\nid: m\nname: many_reads\ncorrelation: ${TWO}\n---\ntitle: Then\nid: n\ncorrelation: {type: temporal_ordered, rules: [many_reads, did_create], group-by: agent_id, timespan: 30s}\n`,
    );
    const created = eventAt(30, { action: 'create', agent_id: 'a' });
    const ended = (events: RuleEvent[]): string[] =>
      createEvaluator(rules, 0)
        .take(events)
        .firings.map(({ correlation, end }) => `${correlation.id} ${end / SECOND}`);
    expect(ended([...reads(0, 5), created])).toEqual(['m 5', 'n 30']);
    expect(ended([...reads(0, 15), created])).toEqual([]);
  });
});

describe('any stream of events', () => {
  const stream = fc
    .array(
      fc.record({
        step: fc.constantFrom(0, 1, 1, 3, 9),
        action: fc.constantFrom(...ACTIONS),
        agent_id: fc.constantFrom('a', 'b'),
        tool_name: fc.constantFrom('x', 'y', 'z'),
      }),
      { maxLength: 60 },
    )
    .map((items) => {
      let at = 0;
      return items.map(({ step, ...fields }, index) => {
        at += step;
        const event_id = new Uint8Array(16).fill(index);
        return { ...eventAt(at, fields), event_id };
      });
    });
  const LIMIT = fc.record({
    operator: fc.constantFrom('gte', 'gt', 'eq', 'lte', 'lt'),
    limit: fc.integer({ min: 0, max: 4 }),
  });
  const truth = {
    gte: (a: number, b: number) => a >= b,
    gt: (a: number, b: number) => a > b,
    eq: (a: number, b: number) => a === b,
    lte: (a: number, b: number) => a <= b,
    lt: (a: number, b: number) => a < b,
  };

  test('fires exactly where counting anew says so', () => {
    fc.assert(
      fc.property(stream, LIMIT, fc.boolean(), (events, { operator, limit }, values) => {
        const rule = values
          ? `{type: value_count, rules: [did_read, did_create], group-by: agent_id, timespan: 10s, condition: {field: tool_name, ${operator}: ${limit}}}`
          : `{type: event_count, rules: [did_read, did_create], group-by: agent_id, timespan: 10s, condition: {${operator}: ${limit}}}`;
        const counted = events.filter(({ action }) => action === 'read' || action === 'create');
        const expected = new Set(
          counted.flatMap((last) => {
            const end = last.timestamp ?? 0;
            const inside = counted.filter(
              ({ timestamp = 0, agent_id }) =>
                agent_id === last.agent_id && timestamp <= end && timestamp >= end - 10 * SECOND,
            );
            const measure = values ? new Set(inside.map(({ tool_name }) => tool_name)).size : inside.length;
            return truth[operator as keyof typeof truth](measure, limit) ? [`${last.agent_id} ${end}`] : [];
          }),
        );
        const found = firingsOf(rule, events).map(({ group, end }) => `${group[1]} ${end}`);
        expect(found.sort()).toEqual([...expected].sort());
      }),
      { numRuns: 200 },
    );
  });

  test('opens the same alerts in whatever batches it comes', () => {
    const rules = correlated(
      '{type: event_count, rules: [did_read, did_create], group-by: agent_id, timespan: 10s, condition: {gte: 3}}',
    );
    const alertsOf = (batches: readonly RuleEvent[][]): string[] => {
      const evaluator = createEvaluator(rules, 3_600 * SECOND);
      const firings = batches.flatMap((batch) => evaluator.take(batch).firings);
      const unique = new Map(firings.map((firing) => [`${firing.window} ${firing.end}`, firing]));
      const sorted = [...unique.values()].sort((a, b) => a.end - b.end);
      const windows = Map.groupBy(sorted, ({ window }) => window);
      return [...windows.values()]
        .flatMap((some) => episodesOf(some).map(({ window, since }) => `${window} ${since}`))
        .sort();
    };
    fc.assert(
      fc.property(stream, fc.array(fc.nat(60), { maxLength: 5 }), (events, cuts) => {
        const places = [
          0,
          ...cuts.filter((cut) => cut <= events.length).sort((a, b) => a - b),
          events.length,
        ];
        const batches = places.slice(1).map((end, index) => events.slice(places[index], end));
        // Events that share an instant are judged together only when they come together.
        fc.pre(places.slice(1, -1).every((cut) => events[cut - 1]?.timestamp !== events[cut]?.timestamp));
        expect(alertsOf(batches)).toEqual(alertsOf([events]));
      }),
      { numRuns: 150 },
    );
  });

  test('cells merge to the same whatever the order, and set cells however often', () => {
    const cells = fc.uniqueArray(
      fc.record({ tick: fc.nat(5), label: fc.constantFrom('', 'x'), count: fc.integer({ min: 1, max: 3 }) }),
      {
        selector: ({ tick, label }) => `${tick} ${label}`,
      },
    );
    const sorted = (list: { tick: number; label: string; count: number }[]) =>
      list
        .map((cell) => ({ ...cell, eventId: new Uint8Array(16) }))
        .sort((a, b) => a.tick - b.tick || a.label.localeCompare(b.label));
    fc.assert(
      fc.property(cells, cells, (left, right) => {
        const [a, b] = [sorted(left), sorted(right)];
        expect(mergeCells(a, { cells: b, merge: 'add' })).toEqual(mergeCells(b, { cells: a, merge: 'add' }));
        const once = mergeCells(a, { cells: b, merge: 'set' });
        expect(mergeCells(once, { cells: b, merge: 'set' })).toEqual(once);
      }),
    );
  });
});

describe('alerts', () => {
  test('firings at most a timespan apart are one alert with its peak; a later one is the next', () => {
    const rule = '{type: event_count, rules: did_read, timespan: 10s, condition: {gte: 2}}';
    const episodes = episodesOf(firingsOf(rule, reads(0, 1, 2, 11, 40, 41)));
    expect(
      episodes.map(({ since, until, peak, firings }) => [since / SECOND, until / SECOND, peak, firings]),
    ).toEqual([
      [1, 11, 3, 3],
      [41, 41, 2, 1],
    ]);
  });
});
