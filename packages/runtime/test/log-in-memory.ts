import { Failure } from '@cairn/failure';
import { type AssignedPartition, type LogRecord, type RawSource, recordOf } from '../src/index.ts';
import type { SimulatedClock } from './simulated-clock.ts';

/** How a member of the group hears and is heard: each method resolves when the other side may go on. */
export interface MemberWeather {
  /** Before a request has its effect. Rejects when it is lost. */
  there(): Promise<void>;
  /** Before its answer is heard. Rejects when it is lost. */
  back(): Promise<void>;
  /** Records of the next fetch. */
  fetchMax(): number;
}

/** A record that was set aside, as services/ingest parks it. */
export interface ParkedRecord {
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
}

interface Member {
  readonly name: string;
  readonly weather: MemberWeather;
  generation: number;
  assign(partitions: readonly number[]): void;
  tellLost(): void;
}

export const TOPIC = 'audit.events.standard';

/** A topic, its partitions, and the group that reads it: what Kafka promises, on simulated time. */
export class LogInMemory {
  readonly partitions: LogRecord[][];
  readonly committed: ({ offset: number; metadata: string } | undefined)[];
  readonly parked: ParkedRecord[] = [];
  /** Times that the partitions were handed out anew. */
  rebalances = 0;
  private readonly members = new Map<string, Member>();
  private generation = 0;
  private readonly clock: SimulatedClock;

  constructor(clock: SimulatedClock, partitions: number) {
    this.clock = clock;
    this.partitions = Array.from({ length: partitions }, () => []);
    this.committed = Array.from({ length: partitions }, () => undefined);
  }

  append(partition: number, value: Uint8Array, appendedAtMs: number): void {
    const records = this.partitions[partition]!;
    records.push(recordOf(records.length, value, appendedAtMs));
  }

  /** A member is gone, or is taken for it; the others share its partitions. */
  expel(name: string): void {
    if (this.members.delete(name)) this.rebalance();
  }

  /** Hands all partitions out anew. Members that left are told nothing: they find out when they commit. */
  rebalance(): void {
    this.generation += 1;
    this.rebalances += 1;
    const members = [...this.members.values()];
    for (const [index, member] of members.entries()) {
      const generation = this.generation;
      const mine = this.partitions
        .map((_, number) => number)
        .filter((number) => number % members.length === index);
      // Each hears of it in its own time; until then it goes on with what it had.
      void member.weather.back().then(
        () => {
          if (this.members.get(member.name) !== member || generation !== this.generation) return;
          member.generation = generation;
          member.tellLost();
          member.assign(mine);
        },
        () => this.expel(member.name),
      );
    }
  }

  source(name: string, weather: MemberWeather): RawSource {
    let stopped = false;
    let lost = new AbortController();
    return {
      run: async (sink) => {
        const member: Member = {
          name,
          weather,
          generation: -1,
          tellLost: () => {
            lost.abort();
            lost = new AbortController();
          },
          assign: (partitions) => {
            for (const partition of partitions) {
              const reading = { at: undefined as number | undefined, paused: true, era: 0 };
              const handle = this.handle(
                member,
                partition,
                lost.signal,
                reading,
                () => void fetch(reading.era),
              );
              const fetch = async (era: number): Promise<void> => {
                while (!stopped && !handle.lost.aborted && era === reading.era) {
                  await this.clock.pause(this.clock.random() * 4 + 0.1);
                  await weather.back().catch(() => {});
                  if (
                    reading.at === undefined ||
                    reading.paused ||
                    era !== reading.era ||
                    handle.lost.aborted
                  )
                    continue;
                  const log = this.partitions[partition]!;
                  const records = log.slice(reading.at, reading.at + weather.fetchMax());
                  if (records.length === 0) {
                    await this.clock.pause(10);
                    continue;
                  }
                  const first = reading.at;
                  reading.at += records.length;
                  sink.onBatch(handle, { first, last: reading.at - 1, records, highWatermark: log.length });
                }
              };
              sink.onAssigned(handle);
            }
          },
        };
        this.members.set(name, member);
        this.rebalance();
      },
      [Symbol.asyncDispose]: async () => {
        stopped = true;
        lost.abort();
        this.expel(name);
      },
    };
  }

  private handle(
    member: Member,
    partition: number,
    lost: AbortSignal,
    reading: { at: number | undefined; paused: boolean; era: number },
    begin: () => void,
  ): AssignedPartition {
    const generation = member.generation;
    return {
      topic: TOPIC,
      partition,
      partitions: this.partitions.length,
      generation,
      lost,
      committed: async () => {
        await member.weather.there();
        const { offset, metadata } = this.committed[partition] ?? { offset: undefined, metadata: '' };
        await member.weather.back();
        return { offset, metadata };
      },
      bounds: async () => {
        await member.weather.there();
        const end = this.partitions[partition]!.length;
        await member.weather.back();
        return { first: 0, end };
      },
      commit: async (offset, metadata) => {
        await member.weather.there();
        // The broker fences by member and generation, not by partition.
        if (this.members.get(member.name) !== member || generation !== this.generation) {
          throw new Failure({ code: 'log.fenced', retry: 'no', message: 'another generation' });
        }
        this.committed[partition] = { offset, metadata };
        await member.weather.back();
      },
      readFrom: (offset) => {
        reading.at = offset;
        reading.era += 1;
        begin();
      },
      pause: () => {
        reading.paused = true;
      },
      resume: () => {
        reading.paused = false;
      },
    };
  }
}
