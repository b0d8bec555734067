import { datadogLogOf, ecsOf, hecEventOf, ocsfOf, type StoredEvent, syslogMessageOf } from '../src/index.ts';
import { SAMPLES } from './samples.ts';

/** One event in every format. */
export interface Vector {
  readonly name: string;
  readonly event: StoredEvent;
  readonly ocsf: unknown;
  readonly ecs: unknown;
  readonly hec: unknown;
  readonly datadog: unknown;
  readonly syslog: string;
}

/** What schemas/vectors/siem.json must hold; gen/vectors.ts writes it. */
export const vectors = (): Vector[] =>
  SAMPLES.map(([name, event]) => ({
    name,
    event,
    ocsf: ocsfOf(event),
    ecs: ecsOf(event),
    hec: hecEventOf(event, { index: 'main' }),
    datadog: datadogLogOf(event, { tags: ['team:security'], nowMs: 1_795_459_201_000 }),
    syslog: syslogMessageOf(event),
  }));
