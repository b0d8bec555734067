import {
  type AuditEvent,
  bytesOfHex,
  completeEvent,
  encodeDatum,
  frame,
  leafHash,
  PARKED_TOPIC,
  parseUuid,
  partitionOf,
} from '@cairn/event';
import { genesisHash } from '@cairn/ledger';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import { drained, PARTITIONS, type Rig, startRig, TOPIC } from './rig.ts';

const ORG = 'acme';
const GATEWAY = 'gw-poison';
const PARTITION = partitionOf(ORG, GATEWAY, PARTITIONS);

const MARK = 'a-data-class';

/** Events of one stream, chained as a gateway chains them. */
function chained(count: number): Uint8Array[] {
  let prev_hash = genesisHash(ORG, GATEWAY, 1, new Uint8Array(32));
  return Array.from({ length: count }, (_, seq) => {
    const draft = completeEvent(
      {
        org_id: ORG,
        gateway_id: GATEWAY,
        kind: 'tool_call',
        phase: 'single',
        capture: 'gateway',
        timestamp: 1_795_000_000_000_000 + seq,
        tool_name: `tool-${seq}`,
        data_classes: [MARK],
      },
      { event_id: parseUuid(`019a0000-0000-7000-8000-${String(seq).padStart(12, '0')}`) },
    );
    const event: AuditEvent = { ...draft, epoch: 1, seq, prev_hash, key_id: '00000000', signature: null };
    const datum = encodeDatum(event);
    prev_hash = leafHash(1, datum);
    return datum;
  });
}

const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const ID_BYTES = 16;

describe('records that are no events', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  }, 180_000);
  afterAll(async () => rig?.[Symbol.asyncDispose]());

  test('each ends parked with its reason and its bytes, and its neighbours are loaded', async () => {
    const good = chained(8);
    const [first = new Uint8Array(), second = new Uint8Array()] = good;
    // The length of org_id, 4, as a varint of two bytes.
    const stretched = joined(first.subarray(0, ID_BYTES), bytesOfHex('8800'), first.subarray(ID_BYTES + 1));
    // One data class, claimed to be two thousand million.
    const countAt = Buffer.from(first).indexOf(MARK) - 2;
    const bomb = joined(first.subarray(0, countAt), bytesOfHex('feffffff0f'), first.subarray(countAt + 1));
    const poison: [reason: string, value: Uint8Array][] = [
      ['datum.trailing', frame(1, joined(first, second))],
      ['datum.truncated', frame(1, first.subarray(0, first.length - 3))],
      ['varint.non-minimal', frame(1, stretched)],
      ['datum.truncated', frame(1, bomb)],
      ['schema.unknown', frame(7_777, first)],
      ['value.empty', new Uint8Array()],
      ['frame.magic', joined(bytesOfHex('ff'), first)],
    ];
    const values = poison.flatMap(([, value], index) => [frame(1, good[index] ?? first), value]);
    values.push(frame(1, good[7] ?? first));
    await rig.kafka.log.append(TOPIC, PARTITION, values);
    const elsewhere = (PARTITION + 1) % PARTITIONS;
    await rig.kafka.log.append(TOPIC, elsewhere, [frame(1, first)]);

    const ledger = await drained(rig);
    expect(ledger.map(({ missing, doubled }) => ({ missing, doubled }))).toEqual([
      { missing: 0, doubled: 0 },
    ]);
    const rows = await rig.clickhouse.query<{ tool_name: string; offset: number }>(
      'SELECT tool_name, toUInt32(offset) AS offset FROM cairn.events ORDER BY offset',
    );
    expect(rows.map(({ tool_name }) => tool_name)).toEqual(good.map((_, seq) => `tool-${seq}`));

    const gaps = await rig.clickhouse.query<{ partition: number; offset: number; reason: string }>(
      'SELECT partition, toUInt32(offset_first) AS offset, reason FROM cairn.ingest_gaps FINAL ORDER BY partition = {own:Int32} DESC, offset_first',
      { own: PARTITION },
    );
    expect(gaps).toEqual([
      ...poison.map(([reason], index) => ({ partition: PARTITION, offset: index * 2 + 1, reason })),
      { partition: elsewhere, offset: 0, reason: 'partition.wrong' },
    ]);

    const parked = await readAll(rig.parts.part('kafka').address, PARKED_TOPIC, poison.length + 1);
    const found = parked.map(({ reason, partition, offset, value }) => [reason, partition, offset, value]);
    expect(found.toSorted()).toEqual(
      [
        ...poison.map(([reason, value], index) => [
          reason,
          String(PARTITION),
          String(index * 2 + 1),
          hex(value),
        ]),
        ['partition.wrong', String(elsewhere), '0', hex(frame(1, first))],
      ].toSorted(),
    );
    const findings = await rig.clickhouse.query('SELECT * FROM cairn.stream_findings');
    expect(findings).toEqual([]);
  }, 120_000);

  test('as large as the log takes them, and more than it takes at once, are parked whole', async () => {
    const largest = new Uint8Array(1_048_400).map((_, at) => 0xff ^ at);
    const large = [1, 2, 3, 4].map((byte) => new Uint8Array(400_000).fill(0xf0 + byte));
    for (const value of [largest, ...large]) await rig.kafka.log.append(TOPIC, PARTITION, [value]);
    await drained(rig);
    const parked = await readAll(rig.parts.part('kafka').address, PARKED_TOPIC, 8 + 2 + large.length);
    const values = new Map<string, string>();
    for (const { partition, offset, value } of parked) {
      const place = `${partition}/${offset}`;
      values.set(place, (values.get(place) ?? '') + value);
    }
    expect(parked.filter(({ piece }) => piece !== '').map(({ piece }) => piece)).toEqual(['1/2', '2/2']);
    expect([...values.values()].slice(8).map((value) => value.length / 2)).toEqual([
      largest.length,
      ...large.map(({ length }) => length),
    ]);
    expect([...values.values()].at(8) === hex(largest)).toBe(true);
  }, 120_000);

  test('an event that a gateway sends twice is one row and one declared duplicate', async () => {
    const good = chained(12);
    await rig.kafka.log.append(
      TOPIC,
      PARTITION,
      good.slice(6, 12).map((datum) => frame(1, datum)),
    );
    await drained(rig);
    const [count] = await rig.clickhouse.query<{ rows: number; duplicates: number }>(
      `SELECT (SELECT toUInt32(count()) FROM cairn.events) AS rows,
              (SELECT toUInt32(count()) FROM cairn.ingest_gaps FINAL WHERE reason = 'duplicate') AS duplicates`,
    );
    expect(count).toEqual({ rows: 12, duplicates: 2 });
  }, 120_000);
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

interface ParkedRecord {
  readonly reason: string;
  readonly partition: string;
  readonly offset: string;
  readonly piece: string;
  readonly value: string;
}

async function readAll(brokers: string, topic: string, count: number): Promise<ParkedRecord[]> {
  const client = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });
  const consumer = client.consumer({ groupId: `read-${Date.now()}` });
  const records: ParkedRecord[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${records.length} of ${count} records`)), 30_000);
    void consumer.run({
      eachMessage: async ({ message }) => {
        records.push({
          reason: String(message.headers?.['reason'] ?? ''),
          partition: String(message.headers?.['partition'] ?? ''),
          offset: String(message.headers?.['offset'] ?? ''),
          piece: String(message.headers?.['piece'] ?? ''),
          value: message.value?.toString('hex') ?? '',
        });
        if (records.length < count) return;
        clearTimeout(late);
        resolve();
      },
    });
  });
  await consumer.disconnect();
  return records;
}
