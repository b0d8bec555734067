import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Kafka, openKafka } from '@cairn/adapters';
import { type PartName, type Parts, REPOSITORY, startTestParts } from '@cairn/local';

/** Kafka, Redis and what else is named, for real. */
export interface AlertingStage extends AsyncDisposable {
  readonly directory: string;
  readonly parts: Parts;
  readonly kafka: Kafka;
}

export async function openAlertingStage(more: readonly PartName[]): Promise<AlertingStage> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['kafka', 'redis', ...more] }));
    const kafka = own.use(openKafka({ brokers: [parts.part('kafka').address], clientId: 'bench' }));
    return { directory, parts, kafka, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

/** When somebody is at work: what `sensitive-tool-after-hours.yml` asks its users to set. */
export interface Hours {
  readonly timeZone: string;
  readonly allWeek: boolean;
}

/** The rules that ship, for a deployment at which it is day or is not. */
export interface RulesOfStage {
  readonly directory: string;
  readonly hours: Hours;
}

export const SHIPPED: RulesOfStage = {
  directory: join(REPOSITORY, 'deploy', 'config', 'rules'),
  hours: { timeZone: 'Europe/Berlin', allWeek: false },
};

/**
 * The rules that ship, and the one about business hours set to a place where it is half past one in the afternoon, give or take
 * half an hour: whatever the time at which a bench runs, agents then work by day.
 */
export function rulesByDay({ directory }: AlertingStage, now: Date): RulesOfStage {
  const east = 13 - now.getUTCHours();
  // The signs of these zones are those of POSIX: Etc/GMT-3 lies east of Greenwich.
  const timeZone = `Etc/GMT${east > 0 ? '-' : '+'}${Math.abs(east)}`;
  const rules = join(directory, 'rules-by-day');
  cpSync(SHIPPED.directory, rules, { recursive: true });
  const file = join(rules, 'sensitive-tool-after-hours.yml');
  const text = readFileSync(file, 'utf8')
    .replace('time_zone: Europe/Berlin', `time_zone: ${timeZone}`)
    .replace('weekdays: [mon, tue, wed, thu, fri]', 'weekdays: [mon, tue, wed, thu, fri, sat, sun]')
    .replace(/\n {2}holidays: .*/, '');
  writeFileSync(file, text);
  return { directory: rules, hours: { timeZone, allWeek: true } };
}
