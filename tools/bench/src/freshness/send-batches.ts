import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { Failure } from '@cairn/failure';

/*
 * Produce requests that were made beforehand, records, checksum and all, and at their moment are bytes for a socket: making them
 * in time took kafkajs half a core at 50,000 records a second, which on this machine is a quarter of what there is to measure.
 *
 *   request   size i32 · api key i16 = 0 · version i16 = 3 · correlation id i32 · … · record batch
 *   answer    size i32 · correlation id i32 · topics i32 = 1 · name (i16 length) · partitions i32 = 1 · partition i32 · error i16 · …
 *   https://kafka.apache.org/protocol#The_Messages_Produce
 */

const load = createRequire(import.meta.url);
const encodeProduce = load('kafkajs/src/protocol/requests/produce/v3/request') as (options: object) => object;
const encodeRequest = load('kafkajs/src/protocol/request') as (
  options: object,
) => Promise<{ buffer: Buffer }>;

const ACKS_ALL = -1;
const TIMEOUT_MS = 30_000;

/** One request with these values, in their order, for one partition. Its correlation id is 0. */
export async function makeRequest(
  topic: string,
  partition: number,
  values: readonly Uint8Array[],
): Promise<Buffer> {
  // What is no Buffer, kafkajs takes for text.
  const messages = values.map((value) => ({ key: null, value: Buffer.from(value), headers: {} }));
  const request = encodeProduce({
    acks: ACKS_ALL,
    timeout: TIMEOUT_MS,
    topicData: [{ topic, partitions: [{ partition, messages }] }],
  });
  const { buffer } = await encodeRequest({ correlationId: 0, clientId: 'bench', request });
  return Buffer.from(buffer);
}

/** A connection to the only broker, for one partition. */
export interface Sender extends Disposable {
  /** Resolves when the broker has the records of the request. Requests are answered in their order. */
  send(request: Buffer): Promise<void>;
}

export async function openSender(broker: string): Promise<Sender> {
  const [host = '', port = ''] = broker.split(':');
  const socket = connect({ host, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const waiting: { resolve(): void; reject(error: unknown): void }[] = [];
  const fail = (error: unknown): void => {
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  let received: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    while (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) {
      const size = received.readInt32BE(0);
      const error = errorIn(received.subarray(4, 4 + size));
      received = received.subarray(4 + size);
      const asked = waiting.shift();
      if (error === 0) asked?.resolve();
      else
        asked?.reject(
          new Failure({
            code: 'bench.produce',
            retry: 'no',
            message: `the broker answered Produce with error ${error}`,
            mend: 'See https://kafka.apache.org/protocol#protocol_error_codes and the log of the broker.',
          }),
        );
    }
  });
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the broker closed the connection')));
  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        socket.write(request);
      }),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** @param answer from its correlation id on. */
function errorIn(answer: Buffer): number {
  const topics = 4;
  const name = topics + 4;
  const partitions = name + 2 + answer.readInt16BE(name);
  return answer.readInt16BE(partitions + 4 + 4);
}
