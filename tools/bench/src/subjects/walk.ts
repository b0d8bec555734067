// What ingest pays for each datum: the walk, beside the leaf hash and the container, and what decoding would cost.
import {
  AUDIT_EVENT_SCHEMA_ID,
  type ContainerRow,
  containerOf,
  encodeDatum,
  leafHash,
  releasedSchema,
  walkDatum,
} from '@cairn/event';
import avsc, { type Schema } from 'avsc';
import { type Measured, type SubjectOptions, spreadOf } from '../measured.ts';
import { cpuSecondsOf, sampleEvents } from './encode.ts';

const DATUMS = 1_000;

export default async function walk({ quick, say }: SubjectOptions): Promise<Measured> {
  const datums = sampleEvents(DATUMS).map((event) => Buffer.from(encodeDatum(event)));
  const bytes = datums.reduce((sum, datum) => sum + datum.length, 0) / DATUMS;
  const type = avsc.Type.forSchema(releasedSchema(AUDIT_EVENT_SCHEMA_ID).schema as unknown as Schema, {
    wrapUnions: 'never',
  });
  const rowsOfContainer = datums.map((datum, offset): ContainerRow => {
    const hash = leafHash(AUDIT_EVENT_SCHEMA_ID, datum);
    return {
      topic: 'audit.events.standard',
      partition: 3,
      offset,
      receivedAtMs: 1_790_000_000_000,
      leafHash: hash,
      datum,
    };
  });
  /** Each passes over all datums once. */
  const contestants: [string, () => void][] = [
    [
      'walkDatum',
      () => {
        for (const datum of datums)
          if (!walkDatum(datum, AUDIT_EVENT_SCHEMA_ID).ok) throw new Error('refused');
      },
    ],
    [
      'avsc decode',
      () => {
        for (const datum of datums) type.fromBuffer(datum);
      },
    ],
    [
      'leafHash',
      () => {
        for (const datum of datums) leafHash(AUDIT_EVENT_SCHEMA_ID, datum);
      },
    ],
    ['containerOf', () => void containerOf(AUDIT_EVENT_SCHEMA_ID, rowsOfContainer)],
  ];

  const [repeats, secondsWanted] = quick ? [1, 0.2] : [7, 0.5];
  const figures = contestants.map(() => ({
    datums_s: [] as number[],
    datum_ns: [] as number[],
    mib_s: [] as number[],
  }));
  for (let repeat = -1; repeat < repeats; repeat += 1) {
    say(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${repeats}`);
    for (const [place, [, pass]] of contestants.entries()) {
      let passes = 0;
      let seconds = 0;
      while (seconds < secondsWanted) {
        seconds += cpuSecondsOf(() => {
          for (let turn = 0; turn < 10; turn += 1) pass();
        });
        passes += 10;
      }
      if (repeat < 0) continue;
      const datums_s = (passes * DATUMS) / seconds;
      figures[place]!.datums_s.push(datums_s);
      figures[place]!.datum_ns.push(1e9 / datums_s);
      figures[place]!.mib_s.push((datums_s * bytes) / 1024 ** 2);
    }
  }

  const rows = contestants.map(([name], place) => ({ name, figures: figures[place]! }));
  const [ours, decode] = rows.map((row) => spreadOf(row.figures.datums_s).median);
  return {
    question: 'How many datums a second can one core check against the schema?',
    columns: [
      { name: 'datums_s', heading: 'datums/s of CPU', digits: 0 },
      { name: 'datum_ns', heading: 'ns/datum', digits: 0 },
      { name: 'mib_s', heading: 'MiB/s', digits: 0 },
    ],
    rows,
    claims: [
      { what: 'datums a second, walked', measured: ours!, wanted: 'at least', limit: 4_000_000 },
      {
        what: 'the walk against decoding with avsc',
        measured: ours! / decode!,
        wanted: 'at least',
        limit: 1,
      },
    ],
    notes: [
      `${DATUMS} datums of ${Math.round(bytes)} bytes on average, half of them decisions and half outcomes.`,
      'CPU time is that of the whole process, collector included. avsc builds the event; the walk builds eight facts.',
    ],
  };
}
