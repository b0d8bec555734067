import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DAY_MS, type Day, dayOf } from './day.ts';
import { isBehind, mayHold, planCold, type Segment } from './plan-cold.ts';
import { restoredDaysFor } from './plan-hot.ts';
import { byPlace, type EventPlace, type Question } from './question.ts';

/** An event as far as a question can ask for it. */
interface Held extends EventPlace {
  readonly org: string;
  readonly gateway: string;
  /** Milliseconds since 1970. */
  readonly receivedAt: number;
}

const BEGIN_MS = 1_795_000_000_000;
/** Coarse, so that times fall together: where a range ends is where a plan goes wrong. */
const STEP_MS = DAY_MS / 4;
const held = fc.record({
  org: fc.constantFrom('acme', 'globex', "o'rg", ''),
  gateway: fc.constantFrom('gw-1', 'gw-2'),
  // Times of their own run ahead of and behind the broker's: a spool that was full for a day, a clock that is wrong.
  timestamp: fc.integer({ min: 0, max: 16 }).map((at) => (BEGIN_MS + at * STEP_MS) * 1_000),
  receivedAt: fc.integer({ min: 0, max: 16 }).map((at) => BEGIN_MS + at * STEP_MS),
});

/** Segments of two logs: what their manifests say is counted from what they hold. */
const archive = fc
  .array(fc.tuple(fc.array(held, { minLength: 1, maxLength: 6 }), fc.constantFrom(0, 1), fc.boolean()), {
    minLength: 1,
    maxLength: 8,
  })
  .map((segments) =>
    segments.map(([events, partition, isDeleted], index): { segment: Segment; events: Held[] } => {
      const placed = events.map((event, at) => ({
        ...event,
        topic: 't',
        partition,
        offset: index * 10 + at,
      }));
      const streams = placed.map(
        ({ org, gateway }) => ({ org, gateway }) as Segment['manifest']['streams'][number],
      );
      const range = (of: readonly number[]) => ({ min: Math.min(...of), max: Math.max(...of) });
      const manifest = {
        origin: `d/t/${partition}`,
        first: index * 10,
        end: index * 10 + placed.length,
        objects: [],
        received: range(placed.map(({ receivedAt }) => receivedAt)),
        timestamps: range(placed.map(({ timestamp }) => timestamp)),
        streams,
      };
      return { segment: { manifest, isDeleted, copy: undefined }, events: placed };
    }),
  );

const time = fc.integer({ min: -2, max: 18 }).map((at) => (BEGIN_MS + at * STEP_MS) * 1_000);
const question: fc.Arbitrary<Question> = fc.record(
  {
    over: fc.constant('both' as const),
    filters: fc.record(
      {
        org_id: fc.subarray(['acme', 'globex', "o'rg", 'nobody']),
        gateway_id: fc.subarray(['gw-1', 'gw-2', 'gw-3']),
        agent_id: fc.subarray(['a', 'b']),
      },
      { requiredKeys: [] },
    ),
    from: time,
    to: time,
    order: fc.constantFrom('newest' as const, 'oldest' as const),
    after: fc.record({
      timestamp: time,
      topic: fc.constant('t'),
      partition: fc.constantFrom(0, 1),
      offset: fc.nat(90),
    }),
    limit: fc.integer({ min: 1, max: 5 }),
  },
  { requiredKeys: ['over', 'filters', 'order', 'limit'] },
);

/** Whether an event matches, as far as manifests know: agents may be anything. */
function matches(
  event: Held,
  { from = 0, to = Number.MAX_SAFE_INTEGER, filters, after, order }: Question,
): boolean {
  const { org_id: orgs = [], gateway_id: gateways = [] } = filters;
  return (
    event.timestamp >= from &&
    event.timestamp < to &&
    (orgs.length === 0 || orgs.includes(event.org)) &&
    (gateways.length === 0 || gateways.includes(event.gateway)) &&
    (after === undefined || byPlace(order)(after, event) < 0)
  );
}

const days = fc
  .subarray([0, 1, 2, 3, 4])
  .map((of): Set<Day> => new Set(of.map((day) => dayOf(BEGIN_MS + day * DAY_MS))));

describe('the plan of a question', () => {
  test('never rules out a segment that holds a match', () => {
    fc.assert(
      fc.property(archive, question, (segments, asked) => {
        for (const { segment, events } of segments)
          if (events.some((event) => matches(event, asked)))
            expect(mayHold(segment.manifest, asked)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('has every match in a segment to be read, on a day that is served hot, or under a deletion', () => {
    fc.assert(
      fc.property(archive, question, days, (segments, asked, served) => {
        const plan = planCold(
          asked,
          segments.map(({ segment }) => segment),
          served,
        );
        const read = new Set(plan.segments);
        for (const { segment, events } of segments)
          for (const event of events)
            if (matches(event, asked) && !served.has(dayOf(event.receivedAt)))
              expect(read.has(segment) || segment.isDeleted).toBe(true);
        const { ruledOut, servedHot, deleted } = plan;
        expect(plan.segments.length + ruledOut + servedHot + deleted).toBe(segments.length);
      }),
      { numRuns: 2_000 },
    );
  });

  test('stops only when no segment that is left holds anything before the last row of a full answer', () => {
    fc.assert(
      fc.property(archive, question, (segments, asked) => {
        const plan = planCold(
          asked,
          segments.map(({ segment }) => segment),
          new Set(),
        );
        const eventsOf = new Map(segments.map(({ segment, events }) => [segment, events]));
        const found = (of: readonly Segment[]): Held[] =>
          of
            .flatMap((segment) => eventsOf.get(segment) ?? [])
            .filter((event) => matches(event, asked))
            .sort(byPlace(asked.order))
            .slice(0, asked.limit);
        for (let read = 1; read < plan.segments.length; read += 1) {
          const sofar = found(plan.segments.slice(0, read));
          const last = sofar.at(-1);
          if (sofar.length < asked.limit || last === undefined) continue;
          if (isBehind(plan.segments[read]!, last.timestamp, asked.order))
            expect(sofar).toEqual(found(plan.segments));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a day that was restored', () => {
  const segment = (day: number): Segment => {
    const at = BEGIN_MS + day * DAY_MS;
    const manifest = {
      origin: 'd/t/0',
      first: 0,
      end: 1,
      objects: [],
      received: { min: at, max: at },
      timestamps: { min: at * 1_000, max: at * 1_000 },
      streams: [],
    };
    return { manifest, isDeleted: false, copy: undefined };
  };
  const day = dayOf(BEGIN_MS);
  const asked = (...orgs: string[]): Question => ({
    over: 'both',
    filters: { org_id: orgs },
    order: 'newest',
    limit: 1,
  });
  const mark = (org: string, segments = 1) => ({ day, org, segments });

  test('answers for the organisations that were loaded, and for nobody else', () => {
    const hot = { held: [], restored: [mark('acme'), mark('globex')] };
    const answers = (...orgs: string[]) => restoredDaysFor(asked(...orgs), hot, [segment(0)]).has(day);
    expect([answers('acme'), answers('acme', 'globex'), answers('acme', 'dune'), answers()]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(restoredDaysFor(asked(), { held: [], restored: [mark('')] }, [segment(0)]).has(day)).toBe(true);
  });

  test('answers for nothing once the archive has come to hold more of that day', () => {
    const hot = { held: [], restored: [mark('')] };
    expect(restoredDaysFor(asked(), hot, [segment(0), segment(1)]).has(day)).toBe(true);
    expect(restoredDaysFor(asked(), hot, [segment(0), segment(0)]).has(day)).toBe(false);
  });

  test('answers for nothing that the hot table has itself', () => {
    expect(restoredDaysFor(asked(), { held: [day], restored: [mark('')] }, [segment(0)]).size).toBe(0);
  });
});
