import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFolder, createMemoryWindows, type RuleEvent, type WindowAddition } from './index.ts';
import { judgeWindow } from './judge-window.ts';
import { readRules } from './read-rules.ts';
import { SECOND } from './testing/sample-event.ts';

const DAY = 86_400 * SECOND;
const RULES = `
title: Called
id: called
logsource: { product: cairn, category: tool_call }
detection: { s: { phase: decision }, condition: s }
---
title: Ended
id: ended
logsource: { product: cairn, category: tool_call }
detection: { s: { phase: outcome }, condition: s }
---
title: Without outcome
id: open
correlation: { type: temporal, rules: [called, ended], group-by: call_id, timespan: 10s, condition: called and not ended }
---
title: First use
id: first
correlation: { type: event_count, rules: called, group-by: [agent_id, tool_name], timespan: 30d, condition: { eq: 1 } }
---
title: Definition
id: definition
correlation: { type: value_count, rules: called, group-by: tool_name, timespan: 30d, condition: { field: user_id, gte: 2 } }
---
title: Often
id: often
correlation: { type: event_count, rules: called, group-by: agent_id, timespan: 10s, condition: { gte: 3 } }
`;
const { rules } = readRules([{ file: 'r.yml', text: RULES }]);

/** Few values each, so that windows, cells and calls come again. */
const events = fc.array(
  fc.record({
    org: fc.constantFrom('a', 'b'),
    phase: fc.constantFrom('decision' as const, 'outcome' as const, 'single' as const),
    agent: fc.constantFrom('x', 'y', ''),
    tool: fc.constantFrom('t', 'u'),
    user: fc.constantFrom('v', 'w'),
    call: fc.nat(6),
    at: fc.oneof(fc.nat(20), fc.constant(31 * 86_400)),
  }),
  { maxLength: 60 },
);

const idOf = (number: number): Uint8Array => {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(12, number);
  return id;
};

/** One object for every event, and one array for each id, as whoever reads records does it. */
function* inPlace(list: readonly RuleEvent[]): Generator<RuleEvent> {
  const event: { -readonly [Name in keyof RuleEvent]: RuleEvent[Name] } = {};
  const [eventId, callId] = [new Uint8Array(16), new Uint8Array(16)];
  for (const next of list) {
    eventId.set(next.event_id!);
    callId.set(next.call_id!);
    yield Object.assign(event, next, { event_id: eventId, call_id: callId });
  }
}

describe('batches of one log', () => {
  test('that one folder folds set off what each alone sets off, wherever they are cut', () => {
    fc.assert(
      fc.property(events, fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 8 }), (drawn, cuts) => {
        const list = drawn.map(
          ({ org, phase, agent, tool, user, call, at }, index): RuleEvent => ({
            ...{ event_id: idOf(index), call_id: idOf(call), kind: 'tool_call', phase, org_id: org },
            ...{ agent_id: agent, tool_name: tool, user_id: user, timestamp: at * SECOND },
          }),
        );
        const lone = createMemoryWindows(DAY);
        const shared = createMemoryWindows(DAY);
        const fired = { lone: new Map<string, number>(), shared: new Map<string, number>() };
        const folder = createFolder(rules);
        for (let from = 0, cut = 0; from < list.length; cut += 1) {
          const part = list.slice(from, from + (cuts[cut] ?? 25));
          from += part.length;
          fire(fired.lone, lone, foldedBy(createFolder(rules), part));
          fire(fired.shared, shared, foldedBy(folder, part));
          folder.counted();
        }
        expect(fired.shared).toEqual(fired.lone);
        // Nothing else is left open than what would be alone.
        const openOf = (windows: typeof lone): unknown =>
          windows.open().map(({ window, cells }) => [window, cells]);
        expect(openOf(shared)).toEqual(openOf(lone));
      }),
      { numRuns: 300 },
    );
  });

  test('give the events of a call that finds no place in its table to a window', () => {
    // Ids that differ where the table does not look: all of them fall on one place.
    const colliding = (number: number): Uint8Array => {
      const id = new Uint8Array(16);
      new DataView(id.buffer).setUint16(6, number);
      return id;
    };
    const list = (phase: 'decision' | 'outcome'): RuleEvent[] =>
      Array.from({ length: 50 }, (_, index) => ({
        ...{ event_id: idOf(index), call_id: colliding(index), kind: 'tool_call', phase, org_id: 'a' },
        timestamp: SECOND,
      }));
    const openIn = (batch: readonly RuleEvent[]): number =>
      foldedBy(createFolder(rules), batch).filter(({ correlation }) => correlation.id === 'open').length;
    expect(openIn(list('decision'))).toBe(50);
    expect(openIn([...list('decision'), ...list('outcome')])).toBe(0);
  });

  test('count a cell again that is full, when the batch that filled it was not counted', () => {
    const folder = createFolder(rules);
    const event: RuleEvent = {
      ...{ event_id: idOf(1), call_id: idOf(1), kind: 'tool_call', phase: 'decision', org_id: 'a' },
      ...{ agent_id: 'x', tool_name: 't', timestamp: SECOND },
    };
    const first = (): number =>
      foldedBy(folder, [event]).filter(({ correlation }) => correlation.id === 'first').length;
    expect(first()).toBe(1);
    expect(first()).toBe(1);
    folder.counted();
    expect(first()).toBe(0);
  });
});

function foldedBy(
  folder: ReturnType<typeof createFolder>,
  list: readonly RuleEvent[],
): readonly WindowAddition[] {
  const folding = folder.begin();
  for (const event of inPlace(list)) folding.take(event, event.timestamp!);
  return folding.folded().additions;
}

/** Takes note of what fires, by window and end, with the highest measure: it may be found more than once. */
function fire(
  fired: Map<string, number>,
  windows: ReturnType<typeof createMemoryWindows>,
  additions: readonly WindowAddition[],
): void {
  const added = new Map(additions.map(({ window, cells }) => [window, cells]));
  for (const view of windows.add(additions)) {
    const ticks = (added.get(view.window) ?? []).map(({ tick }) => tick);
    for (const { window, end, measure } of judgeWindow(view, ticks[0] ?? 0, ticks.at(-1) ?? 0))
      fired.set(`${window} ${end}`, Math.max(measure, fired.get(`${window} ${end}`) ?? 0));
  }
}
