import {
  type AuditEvent,
  FIELDS_MAX,
  type FieldReader,
  FRAME_HEAD_BYTES,
  fieldReader,
  framedIdAt,
  KIND_SYMBOLS,
  walkDatum,
} from '@cairn/event';
import { type BelievedTimes, believedTime, type Micros, type RuleEvent } from '@cairn/rules';
import type { LogRecord } from '@cairn/runtime';
import type { Position } from './stream-marks.ts';

/** What records were, while they come. */
export interface ReadRecords {
  /** Handed on. */
  events: number;
  /** The earliest time at which one of them counts as having happened; infinite when there was none. */
  oldest: Micros;
  /** Streams that went on, and how far. */
  readonly streams: Map<string, Moving>;
  /** Records that a gateway had sent before. */
  duplicates: number;
  /** Records that are no events; ingest parks them. */
  others: number;
  /** Events whose own time was not believed. */
  skewed: number;
}

export const nothingRead = (): ReadRecords => ({
  events: 0,
  oldest: Number.POSITIVE_INFINITY,
  streams: new Map(),
  duplicates: 0,
  others: 0,
  skewed: 0,
});

/** Read of every event, whatever the rules ask for. */
const ALWAYS = ['event_id', 'org_id', 'timestamp', 'service', 'agent_id'] as const;
const ALERT = KIND_SYMBOLS.indexOf('alert');
/** Names of streams that are remembered. */
const NAMES_MAX = 10_000;

/** What reads records for one set of rules. */
export class RecordReader {
  readonly #readers = new Map<number, FieldReader>();
  readonly #fields: ReadonlySet<keyof AuditEvent>;
  readonly #places = new Uint16Array(FIELDS_MAX);
  /** Names of streams by organisation and gateway: a text that is joined anew is hashed anew. */
  readonly #names = new Map<string, Map<string, string>>();

  constructor(fieldsRead: ReadonlySet<keyof AuditEvent>) {
    this.#fields = new Set([...fieldsRead, ...ALWAYS]);
  }

  /**
   * Walks each datum and decodes the fields that some rule reads. What a stream had already is left out, and so are our own
   * alerts: a rule about them would feed itself.
   *
   * @param read of the records before these; goes on with them.
   * @param known where a stream stood before all of them.
   * @param onEvent told of each event, which is the same object each time, and of when it counts as having happened.
   */
  read(
    records: readonly LogRecord[],
    read: ReadRecords,
    known: (stream: string) => Position | undefined,
    releasedIdOf: (framedId: number) => number | undefined,
    bounds: BelievedTimes,
    onEvent: (event: RuleEvent, time: Micros) => void,
  ): void {
    const { streams } = read;
    let { events, duplicates, others, skewed, oldest } = read;
    for (const { bytes, start: frameAt, end, appendedAtMs } of records) {
      const framedId = framedIdAt(bytes, frameAt, end);
      const schemaId = framedId < 0 ? undefined : releasedIdOf(framedId);
      const start = frameAt + FRAME_HEAD_BYTES;
      const walked =
        schemaId === undefined ? undefined : walkDatum(bytes, schemaId, start, end, this.#places);
      if (schemaId === undefined || walked === undefined || !walked.ok) {
        others += 1;
        continue;
      }
      const stream = this.#nameOf(walked.orgId, walked.gatewayId);
      const moving = streams.get(stream);
      const position = moving ?? known(stream);
      if (position !== undefined && !goesOn(position, walked)) {
        duplicates += 1;
        continue;
      }
      if (moving === undefined) streams.set(stream, { epoch: walked.epoch, seq: walked.seq });
      else {
        moving.epoch = walked.epoch;
        moving.seq = walked.seq;
      }
      const event = this.#readerOf(schemaId)(bytes, start, this.#places);
      if (walked.kind === ALERT && event.service === 'alerting') continue;
      const appended = appendedAtMs * 1_000;
      const { timestampMicros } = walked;
      const isBelieved = believedTime(timestampMicros, appended, bounds);
      if (!isBelieved) skewed += 1;
      const time = isBelieved ? timestampMicros : appended;
      if (time < oldest) oldest = time;
      events += 1;
      onEvent(event, time);
    }
    Object.assign(read, { events, duplicates, others, skewed, oldest });
  }

  #nameOf(org: string, gateway: string): string {
    let ofOrg = this.#names.get(org);
    if (ofOrg === undefined) {
      if (this.#names.size >= NAMES_MAX) this.#names.clear();
      ofOrg = new Map();
      this.#names.set(org, ofOrg);
    }
    let name = ofOrg.get(gateway);
    if (name === undefined) {
      if (ofOrg.size >= NAMES_MAX) ofOrg.clear();
      name = `${org}\u0000${gateway}`;
      ofOrg.set(gateway, name);
    }
    return name;
  }

  #readerOf(schemaId: number): FieldReader {
    let reader = this.#readers.get(schemaId);
    if (reader === undefined) {
      reader = fieldReader(this.#fields, schemaId);
      this.#readers.set(schemaId, reader);
    }
    return reader;
  }
}

/** A stream's position while its events are read. */
export interface Moving {
  epoch: number;
  seq: number;
}

const goesOn = ({ epoch, seq }: Position, next: Position): boolean =>
  next.epoch > epoch || (next.epoch === epoch && next.seq > seq);
