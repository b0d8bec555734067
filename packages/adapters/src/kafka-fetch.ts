import { createRequire } from 'node:module';
import { type AbortedTransaction, batchesOf, committedBatches, type RawBatch } from './record-batch.ts';

/**
 * Has kafkajs hand over record batches as they came, one pseudo-message each, in the place of one object for each
 * message: offsets, seeking and commits go on as before, and the messages are read by record-batch.ts, checksums
 * included, which kafkajs does not check. This reaches into kafkajs 2.2.4, which is pinned; kafka-fetch.contract.test.ts
 * notices when it no longer fits.
 *
 * Only consumers whose `rackId` is that of a `rawRack(…)` are served so: the mark is the one thing of a consumer that reaches this
 * place. It is taken off again before anything is sent.
 */
interface FetchProtocol {
  readonly versions: readonly string[];
  protocol: (at: { version: number }) => (options: { rackId?: string }) => Protocol;
}
interface Protocol {
  readonly request: unknown;
  readonly response: { decode(raw: Buffer): Promise<unknown>; parse(data: unknown): unknown };
}

/** What kafkajs holds as a message. */
export interface PseudoMessage {
  /** Last offset of the batch, so that the next fetch begins behind it. */
  readonly offset: string;
  readonly isControlRecord: false;
  readonly raw: RawBatch;
  /** False for marks of the broker and for what a producer took back. */
  readonly committed: boolean;
}

/** The version of Fetch that every broker since 2.3 speaks and kafkajs prefers. */
const VERSION = 11;

/**
 * kafkajs joins each answer with what was left of the one before, and copies it even where nothing was: for fetches that is
 * fresh memory of megabytes each time, which costs more than reading them.
 */
interface Connection {
  bytesBuffered: number;
  chunks: Buffer[];
  processData(rawData: Buffer): unknown;
}
const { prototype: connection } = createRequire(import.meta.url)('kafkajs/src/network/connection') as {
  readonly prototype: Connection;
};
const stockProcessData = connection.processData;
connection.processData = function (this: Connection, rawData) {
  if (this.bytesBuffered === 0) this.chunks = [];
  return stockProcessData.call(this, rawData);
};

const MARK = /^record-batches-(\d+):/;
const waits = new Map<string, () => Promise<void>>();
let racks = 0;

export interface RawRack extends Disposable {
  readonly rackId: string;
}

/**
 * The rack of a consumer that wants record batches as they came.
 *
 * @param isRead resolves when all that the answers before brought was read. An answer is taken apart then and not before, and the next
 *   is asked for after that: so of each broker there is one that is read and one that comes meanwhile.
 */
export function rawRack(rack: string, isRead: () => Promise<void>): RawRack {
  racks += 1;
  const id = String(racks);
  waits.set(id, isRead);
  return { rackId: `record-batches-${id}:${rack}`, [Symbol.dispose]: () => waits.delete(id) };
}

const fetchProtocol = createRequire(import.meta.url)('kafkajs/src/protocol/requests/fetch') as FetchProtocol;
const stock = fetchProtocol.protocol;
fetchProtocol.protocol = (at) => {
  const protocolOf = stock(at);
  return (options) => {
    const [mark, id = ''] = MARK.exec(options.rackId ?? '') ?? [];
    if (mark === undefined) return protocolOf(options);
    if (at.version !== VERSION)
      throw new Error(`the broker speaks Fetch ${at.version}; ${VERSION} is wanted`);
    const { response, ...rest } = protocolOf({
      ...options,
      rackId: options.rackId?.slice(mark.length) ?? '',
    });
    const decode = async (raw: Buffer): Promise<unknown> => {
      await waits.get(id)?.();
      return answerOf(raw);
    };
    return { ...rest, response: { parse: response.parse, decode } };
  };
};

/** Fetch response, version 11: https://kafka.apache.org/protocol#The_Messages_Fetch */
function answerOf(raw: Buffer): unknown {
  const reader = new Reader(raw);
  const clientSideThrottleTime = reader.int32();
  const errorCode = reader.int16();
  const sessionId = reader.int32();
  const responses = reader.array(() => ({
    topicName: reader.text(),
    partitions: reader.array(() => partitionOf(reader)),
  }));
  // The broker has not throttled the answer and wants the client to wait: as kafkajs has it.
  return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses };
}

function partitionOf(reader: Reader): unknown {
  const head = {
    partition: reader.int32(),
    errorCode: reader.int16(),
    highWatermark: reader.int64().toString(),
    lastStableOffset: reader.int64().toString(),
    lastStartOffset: reader.int64().toString(),
  };
  const aborted: AbortedTransaction[] = reader.array(() => ({
    producerId: reader.int64(),
    firstOffset: Number(reader.int64()),
  }));
  const preferredReadReplica = reader.int32();
  const batches = batchesOf(reader.bytes(reader.int32()));
  const committed = new Set(committedBatches(batches, aborted));
  const messages: PseudoMessage[] = batches.map((batch) => ({
    offset: String(batch.lastOffset),
    isControlRecord: false,
    raw: batch,
    committed: committed.has(batch),
  }));
  return { ...head, abortedTransactions: [], preferredReadReplica, messages };
}

class Reader {
  private at = 0;
  private readonly raw: Buffer;

  constructor(raw: Buffer) {
    this.raw = raw;
  }

  int16(): number {
    this.at += 2;
    return this.raw.readInt16BE(this.at - 2);
  }

  int32(): number {
    this.at += 4;
    return this.raw.readInt32BE(this.at - 4);
  }

  int64(): bigint {
    this.at += 8;
    return this.raw.readBigInt64BE(this.at - 8);
  }

  text(): string {
    return this.bytes(this.int16()).toString('utf8');
  }

  bytes(size: number): Buffer {
    const from = this.at;
    this.at += Math.max(size, 0);
    return this.raw.subarray(from, this.at);
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(this.int32(), 0) }, read);
  }
}
