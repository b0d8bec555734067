import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import './kafka-queue.ts';

/** What kafkajs keeps of the requests of one connection. */
interface Queue {
  readonly throttleCheckTimeoutId: NodeJS.Timeout | null;
  readonly pending: readonly unknown[];
  maybeThrottle(forMs: number): void;
  push(request: object): void;
  fulfillRequest(answer: object): void;
  destroy(): void;
}

const RequestQueue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as new (
  options: object,
) => Queue;

function openQueue(): { readonly queue: Queue; readonly sent: number[]; ask(id: number): void } {
  const logger = { debug: () => {}, warn: () => {} };
  const queue = new RequestQueue({
    maxInFlightRequests: 1,
    requestTimeout: 30_000,
    enforceRequestTimeout: false,
    clientId: 'test',
    broker: 'b:1',
    logger,
  });
  const sent: number[] = [];
  const ask = (correlationId: number): void =>
    queue.push({
      entry: { correlationId, resolve: () => {}, reject: () => {} },
      expectResponse: true,
      sendRequest: () => void sent.push(correlationId),
    });
  return { queue, sent, ask };
}

test('a connection on which nothing waits has no timer, also after an answer', () => {
  const { queue, ask } = openQueue();
  ask(1);
  queue.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 });
  expect(queue.throttleCheckTimeoutId).toBeNull();
});

test('a request that waits for an answer or for the end of a throttle is sent when that comes', async () => {
  const { queue, sent, ask } = openQueue();
  ask(1);
  ask(2);
  expect(sent).toEqual([1]);
  queue.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 });
  expect(sent).toEqual([1, 2]);
  queue.fulfillRequest({ correlationId: 2, payload: Buffer.alloc(0), size: 0 });
  queue.maybeThrottle(20);
  ask(3);
  expect(sent).toEqual([1, 2]);
  await sleep(200);
  expect(sent).toEqual([1, 2, 3]);
  queue.destroy();
});
