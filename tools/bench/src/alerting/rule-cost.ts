// What each rule costs before Redis: all that ship together, and each with what it counts alone.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeDatum } from '@cairn/event';
import {
  type BatchFolder,
  createFolder,
  type Detection,
  type RuleEvent,
  type RuleSet,
  readRules,
} from '@cairn/rules';
import { streamsOf } from '@cairn/traffic';
import { cpuSecondsOf } from '../subjects/encode.ts';
import { SHIPPED } from './stage.ts';

export interface RuleCost {
  readonly name: string;
  /** CPU of an event for this rule and what it counts, alone, in a batch of windows that the batch before touched as well. */
  readonly ns: readonly number[];
  /** Of a thousand events, how many cells of windows go to Redis, when 20,000 events are a batch and nothing was known before it. */
  readonly cells: number;
}

const EVENTS = 20_000;

/** Events are decoded beforehand: reading them costs the same for any rule. */
export function costOfRules(repeats: number): RuleCost[] {
  const files = readdirSync(SHIPPED.directory).filter((name) => name.endsWith('.yml'));
  const { rules } = readRules(
    files.map((file) => ({ file, text: readFileSync(join(SHIPPED.directory, file), 'utf8') })),
  );
  const events = streamsOf({ seed: 3, gateways: 8, agents: 100, eventsPerSecond: 100 })
    .take(EVENTS)
    .map(({ datum }) => decodeDatum(datum))
    .toArray();
  const alone = [...rules.detections, ...rules.correlations]
    .filter(({ alerts }) => alerts)
    .map((rule): [string, RuleSet] => [rule.title, only(rules, rule.id)]);
  return [['all of them', rules] as [string, RuleSet], ...alone].map(([name, some]) => {
    const ns: number[] = [];
    const folder = createFolder(some);
    const cells = foldOf(folder, events);
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      const seconds = cpuSecondsOf(() => void foldOf(folder, events));
      ns.push((seconds / EVENTS) * 1e9);
    }
    return { name, ns, cells: (cells / EVENTS) * 1_000 };
  });
}

function foldOf(folder: BatchFolder, events: readonly RuleEvent[]): number {
  const folding = folder.begin();
  for (const event of events) folding.take(event, event.timestamp ?? 0);
  const { additions } = folding.folded();
  folder.counted();
  return additions.reduce((sum, { cells }) => sum + cells.length, 0);
}

/** One rule, with the rules that it counts. */
function only(rules: RuleSet, id: string): RuleSet {
  const correlations = rules.correlations.filter((one) => one.id === id);
  const counted = new Set(correlations.flatMap(({ sources }) => sources.map(({ rule }) => rule)));
  const detections = rules.detections
    .filter((one) => one.id === id || counted.has(one.id))
    .map((one): Detection => ({ ...one, alerts: one.id === id }));
  return { ...rules, detections, correlations };
}
