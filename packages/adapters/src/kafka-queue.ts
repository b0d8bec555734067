import { createRequire } from 'node:module';

/**
 * kafkajs 2.2.4, which is pinned, looks through the requests that wait for a connection after each answer, and then sets a
 * timer to look again, also when none waits: from then on every connection wakes its process a thousand times a second
 * (https://github.com/tulios/kafkajs/issues/1704). Here a timer is set only for a request that waits; one that comes later
 * sets its own.
 */
interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}
const { prototype: queue } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
  readonly prototype: RequestQueue;
};
const stockSchedule = queue.scheduleCheckPendingRequests;
queue.scheduleCheckPendingRequests = function (this: RequestQueue) {
  if (this.pending.length > 0) stockSchedule.call(this);
};
