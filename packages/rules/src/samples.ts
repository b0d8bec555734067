// Samples say of a rule which events must fire it and which must not:
//
//   rule: call_denied                # name or id
//   base: {tool_name: read_file}     # fields of every event below
//   fires:
//     - what: five refusals in ten minutes
//       alerts: 1                    # how many; default 1
//       events:
//         - {repeat: 5, every: 60s, decision: deny}
//   stays_silent:
//     - what: …
//       history: [210, 190, 205]     # baseline: counts of the same hour in earlier weeks, newest first
//       events: […]
//
// `at` is when an event happens: a time, or seconds after the event before; `each` are fields that a repeated event takes in
// turn from lists.
import { bytesOfHex, completeEvent, type EventDraft, parseUuid } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { parse } from 'yaml';
import { episodesOf } from './episode.ts';
import { createEvaluator } from './memory-windows.ts';
import type { Micros, RuleEvent, RuleSet } from './rule.ts';
import type { Firing } from './window.ts';

export interface SampleFile {
  readonly file: string;
  readonly text: string;
}

/** What came of one sample. */
export interface SampleResult {
  readonly file: string;
  readonly rule: string;
  readonly what: string;
  /** How many alerts the rule must open: 0 for one that stays silent. */
  readonly expected: number;
  readonly opened: number;
  readonly passed: boolean;
  /** Why it could not be run. */
  readonly mistake: string | undefined;
}

interface Sample {
  readonly what?: unknown;
  readonly alerts?: unknown;
  readonly history?: unknown;
  readonly events?: unknown;
}

/** Begins on a Wednesday, 10:00 UTC. */
const BEGIN: Micros = Date.UTC(2026, 10, 25, 10) * 1_000;
const LATENESS: Micros = 0;
const EVENTS_MAX = 100_000;
/** Far behind the last event, so that every window has closed. */
const LONG: Micros = 400 * 86_400_000_000;

/** Runs all samples of a file over all rules, and looks at what the one rule does. */
export function runSamples(rules: RuleSet, { file, text }: SampleFile): SampleResult[] {
  const failed = (rule: string, what: string, mistake: string): SampleResult[] => [
    { file, rule, what, expected: 0, opened: 0, passed: false, mistake },
  ];
  let read: { rule?: unknown; base?: unknown; fires?: unknown; stays_silent?: unknown };
  try {
    read = parse(text) ?? {};
  } catch (error) {
    return failed('', '', error instanceof Error ? error.message : String(error));
  }
  const name = String(read.rule ?? '');
  const found = [...rules.detections, ...rules.correlations].find(
    (candidate) => candidate.id === name || candidate.name === name,
  );
  if (found === undefined) return failed(name, '', `there is no rule ${name}, or it has mistakes`);
  const fires = (read.fires ?? []) as Sample[];
  const silent = (read.stays_silent ?? []) as Sample[];
  if (fires.length === 0 || silent.length === 0)
    return failed(name, '', 'samples must say both what fires and what stays_silent');

  const run = (sample: Sample, expected: number): SampleResult => {
    const result = { file, rule: name, what: String(sample.what ?? ''), expected };
    try {
      const events = eventsOf(sample.events, (read.base ?? {}) as Fields);
      const opened = alertsOf(rules, found.id, events, (sample.history ?? []) as number[]);
      return { ...result, opened, passed: opened === expected, mistake: undefined };
    } catch (error) {
      if (!(error instanceof TypeError) && !isFailure(error)) throw error;
      return { ...result, opened: 0, passed: false, mistake: error.message };
    }
  };
  return [
    ...fires.map((sample) => run(sample, Number(sample.alerts ?? 1))),
    ...silent.map((sample) => run(sample, 0)),
  ];
}

/** How many alerts a rule opens: each match of a detection, each episode of a correlation's group. */
function alertsOf(
  rules: RuleSet,
  id: string,
  events: readonly RuleEvent[],
  history: readonly number[],
): number {
  const evaluator = createEvaluator(rules, LATENESS, () => ({ counts: history }));
  const firings: Firing[] = [];
  let matches = 0;
  for (const event of events) {
    firings.push(...evaluator.close((event.timestamp ?? 0) - 1), ...evaluator.take([event]).firings);
    matches += rules.detections.some((detection) => detection.id === id && detection.matches(event)) ? 1 : 0;
  }
  firings.push(...evaluator.close((events.at(-1)?.timestamp ?? 0) + LONG));
  const groups = Map.groupBy(
    firings.filter(({ correlation }) => correlation.id === id),
    ({ window }) => window,
  );
  return matches + [...groups.values()].reduce((sum, group) => sum + episodesOf(group).length, 0);
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws TypeError or a Failure for what is no event. */
function eventsOf(listed: unknown, base: Fields): RuleEvent[] {
  const events: RuleEvent[] = [];
  let time = BEGIN;
  for (const stated of listed as Fields[]) {
    const { repeat = 1, every = '1s', at, each = {}, ...fields } = stated;
    time = timeOf(at, time);
    for (let index = 0; index < Number(repeat); index += 1) {
      if (events.length === EVENTS_MAX) throw new TypeError(`more than ${EVENTS_MAX} events`);
      if (index > 0) time += spanOf(String(every));
      const taken = Object.entries(each as Record<string, unknown[]>).map(([name, values]) => [
        name,
        values[index % values.length],
      ]);
      events.push(eventOf({ ...base, ...fields, ...Object.fromEntries(taken) }, time, events.length));
    }
  }
  return events;
}

function timeOf(at: unknown, before: Micros): Micros {
  if (at === undefined) return before;
  const text = String(at);
  if (text.startsWith('+')) return before + spanOf(text.slice(1));
  const millis = Date.parse(text);
  if (Number.isNaN(millis)) throw new TypeError(`${text} is no time; write 2026-11-25T10:00:00Z, or +90s`);
  return millis * 1_000;
}

function spanOf(text: string): Micros {
  const [, count, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? [];
  const millis = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit ?? ''];
  if (millis === undefined)
    throw new TypeError(`${text} is no span of time; write 500ms, 90s, 10m, 2h or 1d`);
  return Number(count) * millis * 1_000;
}

/** An event that the schema takes: names and values are checked as the recorder checks them. */
function eventOf(fields: Fields, timestamp: Micros, index: number): RuleEvent {
  const bytes = Object.entries(fields).map(([name, value]) => [
    name,
    name.endsWith('_hash')
      ? bytesOfHex(String(value))
      : name === 'call_id'
        ? parseUuid(String(value))
        : value,
  ]);
  const draft = {
    org_id: 'acme',
    gateway_id: 'gw-1',
    capture: 'gateway',
    kind: 'tool_call',
    phase: 'single',
    ...Object.fromEntries(bytes),
    timestamp,
  };
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(12, index);
  return completeEvent(draft as EventDraft, { event_id: id });
}
