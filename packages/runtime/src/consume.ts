import { isFailure, messageOf } from '@cairn/failure';
import { type Clock, realClock } from './clock.ts';
import { Intake } from './intake.ts';
import type { LogBatch } from './log-record.ts';
import { type Chunk, type ChunkLimits, type ChunkMaking, type Gathering, Mailbox } from './mailbox.ts';
import { Turns } from './turns.ts';

/** One partition while this process owns it. */
export interface AssignedPartition {
  readonly topic: string;
  readonly partition: number;
  /** Partitions of the topic. */
  readonly partitions: number;
  /** Rises with each assignment in this process. */
  readonly generation: number;
  /** Aborted when the partition is taken away, before anyone else may own it or shortly after. */
  readonly lost: AbortSignal;
  /** Offset and metadata that the group has committed. */
  committed(): Promise<{ readonly offset: number | undefined; readonly metadata: string }>;
  /** First offset that the log still holds, and the one that the next record will get. */
  bounds(): Promise<{ readonly first: number; readonly end: number }>;
  /** Rejects with `log.fenced` when the partition is owned no longer. */
  commit(offset: number, metadata: string): Promise<void>;
  /** Delivers batches from this offset on, and none that were fetched before. */
  readFrom(offset: number): void;
  pause(): void;
  resume(): void;
}

/** What the loop needs from a log. packages/adapters/src/kafka.ts fits Kafka to it. */
export interface RawSource extends AsyncDisposable {
  /**
   * Joins the group. `onAssigned` comes before any batch of the partition; no batch comes before `readFrom` was called.
   * `onBatch` must return at once, and has copied by then what it keeps: the bytes of the batch may be written over.
   */
  run(sink: {
    onAssigned(partition: AssignedPartition): void;
    onBatch(partition: AssignedPartition, batch: LogBatch): void;
  }): Promise<void>;
}

/** What a service does with one partition. Whatever it throws means that the work is thrown away and opened again. */
export interface PartitionWork<G extends Gathering> extends ChunkMaking<G> {
  /** First offset to read. */
  readonly start: number;
  /**
   * Brings every record of the chunk to its outcome. A rejection means that nobody knows how far that came: the work is
   * thrown away and opened again, which finds out: at once when the failure says `yes` to a retry, else after a pause.
   *
   * The loader releases what was gathered, once nothing needs it.
   *
   * @param letGo to be called when the chunk counts no longer among what waits, so that others are read in its place; else
   *   it does until it is loaded.
   */
  load(chunk: Chunk<G>, letGo: () => void): Promise<void>;
  /** Everything delivered so far is loaded and nothing waits. */
  idle?(): Promise<void>;
}

export interface ConsumeOptions<G extends Gathering> {
  readonly source: RawSource;
  /** Finds out how far the partition has been brought, and takes it from there. */
  readonly open: (partition: AssignedPartition) => Promise<PartitionWork<G>>;
  readonly limits: ChunkLimits;
  /** Bytes that wait, of all partitions together, from which on only one partition reads: see intake.ts. */
  readonly bufferBytesMax: number;
  /** True when a chunk must not hold records of both times, milliseconds since 1970. */
  readonly splitBetween?: (leftAppendedAtMs: number, rightAppendedAtMs: number) => boolean;
  readonly onTrouble: (partition: AssignedPartition, error: unknown) => void;
  readonly retry?: { readonly firstMs: number; readonly mostMs: number };
  /** Chunks that are loaded at the same time, of all partitions; default 2. */
  readonly loadsAtOnce?: number;
  /** Bytes of memory that these may hold together; one that holds more goes alone. Without it they are not counted. */
  readonly loadBytesMax?: number;
  readonly clock?: Clock;
}

export interface Consumption extends AsyncDisposable {
  /** Partitions owned now. */
  readonly owned: number;
  /** Bytes fetched and not yet loaded. */
  readonly bufferedBytes: number;
  /** Has the work on a partition thrown away and opened again, if this process owns it. */
  reopen(topic: string, partition: number, why: unknown): void;
}

/**
 * The one consume loop. For each partition that this process is given: open the work, read from where it says, gather what
 * arrives in chunks, load one chunk at a time, in order. Any trouble leads back to opening, after a pause; losing the
 * partition ends it. Dispose loads what is in hand and leaves the group.
 */
export async function consume<G extends Gathering>(options: ConsumeOptions<G>): Promise<Consumption> {
  const { source, limits } = options;
  const mailboxes = new Map<AssignedPartition, Mailbox<G>>();
  const walks = new Set<Promise<void>>();
  const stopping = new AbortController();
  const retry = options.retry ?? { firstMs: 200, mostMs: 10_000 };
  const clock = options.clock ?? realClock;
  const turns = new Turns(options.loadsAtOnce ?? 2, options.loadBytesMax);
  const intake = new Intake({ bufferBytesMax: options.bufferBytesMax, bytesMax: limits.bytesMax });

  const walkPartition = async (partition: AssignedPartition, mailbox: Mailbox<G>): Promise<void> => {
    const over = AbortSignal.any([partition.lost, stopping.signal]);
    const reader = {
      get bytes() {
        return mailbox.bytesHeld;
      },
      get isFull() {
        return mailbox.isFull;
      },
      pause: () => partition.pause(),
      resume: () => partition.resume(),
    };
    for (let attempt = 0; !over.aborted; attempt += 1) {
      try {
        const work = await options.open(partition);
        if (over.aborted) return;
        mailbox.restart(work.start, work);
        partition.readFrom(work.start);
        intake.add(reader);
        while (await mailbox.due(over)) {
          // Cut in its turn and not before: what comes while others load is not left for the chunk after it.
          await turns.take(
            () => mailbox.dueBytes,
            async () => {
              const chunk = mailbox.take();
              const letGo = (): void => {
                mailbox.letGo(chunk);
                intake.settle();
              };
              await work.load(chunk, letGo);
              letGo();
            },
          );
          attempt = 0;
          if (mailbox.isEmpty) await work.idle?.();
        }
        return;
      } catch (error) {
        mailbox.close();
        intake.remove(reader);
        if (partition.lost.aborted) return;
        options.onTrouble(partition, error);
        if (isFailure(error, 'log.fenced')) return;
        if (isFailure(error) && error.retry === 'yes') continue;
        const mostMs = Math.min(retry.mostMs, retry.firstMs * 2 ** attempt);
        await clock.pause(mostMs * (0.5 + clock.random() / 2), over);
      } finally {
        mailbox.close();
        intake.remove(reader);
      }
    }
  };

  await source.run({
    onAssigned(partition) {
      partition.pause();
      const mailbox = new Mailbox<G>(limits, options.splitBetween ?? (() => false), clock);
      mailboxes.set(partition, mailbox);
      const walk = walkPartition(partition, mailbox).finally(() => {
        mailboxes.delete(partition);
        walks.delete(walk);
      });
      walks.add(walk);
    },
    onBatch(partition, batch) {
      mailboxes.get(partition)?.put(batch);
      intake.settle();
    },
  });

  return {
    get owned() {
      return mailboxes.size;
    },
    get bufferedBytes() {
      return [...mailboxes.values()].reduce((sum, mailbox) => sum + mailbox.bytesHeld, 0);
    },
    reopen(topic, number, why) {
      for (const [{ topic: name, partition }, mailbox] of mailboxes) {
        if (name === topic && partition === number) mailbox.fail(why);
      }
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      const ended = await Promise.allSettled(walks);
      await source[Symbol.asyncDispose]();
      const wrong = ended.find((result) => result.status === 'rejected');
      if (wrong) throw new Error(`a partition's loop ended wrongly: ${messageOf(wrong.reason)}`);
    },
  };
}
