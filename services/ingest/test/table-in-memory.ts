import { decodeDatum, FIELDS_MAX } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { HASHES_REMEMBERED, type StreamPositions, streamKey } from '@cairn/ledger';
import type { Encoder } from '../src/encoder.ts';
import {
  type Body,
  type EventTable,
  type Gap,
  type Held,
  type Insertion,
  joined,
  type Place,
  type Range,
  type StreamFinding,
} from '../src/event-table.ts';
import { streamsFrom } from '../src/streams-from.ts';

export interface StoredRow {
  readonly offset: number;
  readonly leafHash: string;
  readonly orgId: string;
  readonly gatewayId: string;
  readonly epoch: number;
  readonly seq: number;
}

/** An insert that has looked at the table and not changed it yet. */
export interface RunningInsert {
  /** Changes the table. @throws Failure when the insert was ended before. */
  land(): void;
}

/** What a database may do with a request; fair weather does it at once and well. */
export interface TableWeather {
  effect<T>(what: string, act: () => T): Promise<T>;
  insert(begin: () => RunningInsert): Promise<void>;
}

export const fairWeather: TableWeather = {
  effect: async (_what, act) => act(),
  insert: async (begin) => begin().land(),
};

interface Running extends RunningInsert {
  readonly places: readonly Place[];
  killed: boolean;
}

/** The events of a body, which is a frame for each row: the encoder of the simulation. */
export interface RowsBody extends Body {
  readonly stored: readonly StoredRow[];
}

const keyOf = ({ topic, partition }: Place): string => `${topic}/${partition}`;

/** The table of events in memory, as it promises to behave. */
export class TableInMemory {
  readonly parts = new Map<string, StoredRow[][]>();
  readonly gaps = new Map<string, Gap[]>();
  readonly findings: StreamFinding[] = [];
  private readonly owners = new Map<string, string>();
  private readonly running = new Set<Running>();

  rowsOf(place: Place): StoredRow[] {
    return (this.parts.get(keyOf(place)) ?? []).flat();
  }

  gapsOf(place: Place): Gap[] {
    return this.gaps.get(keyOf(place)) ?? [];
  }

  /** The server dies: what runs has landed or is gone. */
  crash(lands: () => boolean): void {
    for (const insert of this.running) {
      if (!insert.killed && lands()) insert.land();
      insert.killed = true;
    }
  }

  /** The server comes back without a part that it had acknowledged. */
  losePart(which: (parts: number) => number): void {
    for (const parts of this.parts.values()) {
      if (parts.length > 0) parts.splice(which(parts.length), 1);
    }
  }

  /** The table as one client sees it. */
  through(weather: TableWeather): EventTable {
    return {
      becomeOwner: (owner) =>
        weather.effect('becomeOwner', () => void this.owners.set(keyOf(owner), owner.name)),
      endInserts: (place) => weather.effect('endInserts', () => this.end(place)),
      held: (place, first) => weather.effect('held', () => this.held(place, first)),
      covered: (place, from) => weather.effect('covered', () => this.covered(place, from)),
      streams: (place, next) => weather.effect('streams', () => this.streams(place, next)),
      rowBelow: (place, offset) =>
        weather.effect('rowBelow', () => {
          const [row] = this.rowsOf(place)
            .filter((one) => one.offset < offset)
            .toSorted((left, right) => right.offset - left.offset);
          return row && { offset: row.offset, leafHash: row.leafHash };
        }),
      insert: (insertions) => weather.insert(() => this.begin(insertions)),
      insertGaps: (owner, gaps) =>
        weather.effect('insertGaps', () => {
          const known = this.gapsOf(owner);
          const fresh = gaps.filter(
            (gap) => !known.some((other) => other.first === gap.first && other.last === gap.last),
          );
          this.gaps.set(keyOf(owner), [...known, ...fresh]);
        }),
      insertFindings: (_owner, findings) =>
        weather.effect('insertFindings', () => {
          const known = new Set(this.findings.map(({ offset, finding }) => `${offset} ${finding}`));
          this.findings.push(...findings.filter(({ offset, finding }) => !known.has(`${offset} ${finding}`)));
        }),
    };
  }

  private end(place: Place): void {
    for (const insert of this.running)
      if (insert.places.some((one) => keyOf(one) === keyOf(place))) insert.killed = true;
  }

  private begin(insertions: readonly Insertion[]): RunningInsert {
    // What the conditions of the statement see is the table at its beginning.
    const fresh = insertions.map((insertion) => [insertion.owner, this.freshOf(insertion)] as const);
    const insert: Running = {
      places: insertions.map(({ owner }) => owner),
      killed: false,
      land: () => {
        if (!this.running.delete(insert) || insert.killed) throw killed();
        for (const [place, rows] of fresh) {
          if (rows.length > 0) this.parts.set(keyOf(place), [...(this.parts.get(keyOf(place)) ?? []), rows]);
        }
      },
    };
    this.running.add(insert);
    return insert;
  }

  private freshOf({ owner, refusal, body }: Insertion): StoredRow[] {
    const rows = this.rowsOf(owner);
    const highest = rows.reduce((most, { offset }) => Math.max(most, offset), -1);
    const known = new Set(rows.map(({ offset }) => offset));
    const isOwner = this.owners.get(keyOf(owner)) === owner.name;
    return (body as RowsBody).stored.filter(
      ({ offset }) => isOwner && (refusal === 'above-highest' ? offset > highest : !known.has(offset)),
    );
  }

  private held(place: Place, from: number): Held {
    const rows = this.rowsOf(place);
    const gaps = this.gapsOf(place);
    const highestRow = rows.reduce((most, { offset }) => Math.max(most, offset), -1);
    const highest = gaps.reduce((most, { last }) => Math.max(most, last), highestRow);
    const origin = rows.reduce((least, { offset }) => Math.min(least, offset), from);
    const whole = this.covered(place, origin).some(({ first, last }) => first <= origin && last >= highest);
    return { highest, whole: highest < from || whole };
  }

  private covered(place: Place, from: number): Range[] {
    const ranges = [
      ...this.rowsOf(place).map(({ offset }) => ({ first: offset, last: offset })),
      ...this.gapsOf(place).map(({ first, last }) => ({ first: Math.max(first, from), last })),
    ];
    return joined(ranges.filter(({ last }) => last >= from));
  }

  private streams(place: Place, next: number): StreamPositions {
    const rows = this.rowsOf(place)
      .filter(({ offset }) => offset < next)
      .toSorted((left, right) => left.offset - right.offset);
    const events = rows.map(({ orgId, gatewayId, epoch, seq, leafHash }) => ({
      key: streamKey(orgId, gatewayId),
      epoch,
      seq,
      hash: leafHash,
    }));
    const heads = events
      .toSorted((left, right) => right.epoch - left.epoch || right.seq - left.seq)
      .filter(
        (event, at, all) =>
          all.findIndex(({ key, epoch }) => key === event.key && epoch === event.epoch) === at,
      );
    return streamsFrom(heads, events.slice(-HASHES_REMEMBERED));
  }
}

const killed = (): Failure =>
  new Failure({ code: 'clickhouse.busy', retry: 'later', message: 'the query was killed' });

/** Rows as the table in memory takes them. */
export const rowsEncoder: Encoder = {
  open() {
    const stored: StoredRow[] = [];
    let receivedAtMs = 0;
    return {
      get count() {
        return stored.length;
      },
      get bytesHeld() {
        return stored.length * 600;
      },
      places: new Uint16Array(FIELDS_MAX),
      placesAt: 0,
      add({ offset, leafHash, bytes, start, end, ...row }) {
        receivedAtMs = row.receivedAtMs;
        const { org_id, gateway_id, epoch, seq } = decodeDatum(bytes.subarray(start, end));
        stored.push({ offset, leafHash, orgId: org_id, gatewayId: gateway_id, epoch, seq });
      },
      settle() {},
      get leafHashes() {
        return stored.map(({ leafHash }) => Buffer.from(leafHash, 'latin1'));
      },
      bodies(): RowsBody[] {
        const [first] = stored;
        if (first === undefined) return [];
        const span = { first: first.offset, last: stored.at(-1)!.offset, count: stored.length };
        const appendDay = new Date(receivedAtMs).toISOString().slice(0, 10);
        return [{ format: 'rows', structure: '', columns: [], pieces: [], ...span, appendDay, stored }];
      },
      release() {},
    };
  },
};
