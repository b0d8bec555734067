import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouse } from '@cairn/adapters';
import { monotonicMs } from '../arrivals.ts';
import type { ProducedStream } from './produce.ts';

/** How often the table is asked. It is part of each wait. */
export const ASK_EVERY_MS = 100;

/** What a SELECT saw of one stream, and when its answer had come. */
interface Sight {
  readonly atMs: number;
  readonly seq: number;
}

/** Asks, until it is disposed of, how far each stream has come in the table. */
export interface Watch extends AsyncDisposable {
  /** Resolves when the ends of these streams are seen. */
  until(streams: readonly ProducedStream[], msMax: number): Promise<void>;
  /** How long each event was due before a SELECT saw it or a later one of its stream; milliseconds, from `fromMs` on. */
  waitsOf(stream: ProducedStream, fromMs: number): Float64Array;
}

export function watch(clickhouse: ClickHouse, topic: string): Watch {
  const sights = new Map<string, Sight[]>();
  let over = false;
  const looking = (async () => {
    while (!over) {
      const beganMs = monotonicMs();
      const rows = await clickhouse.query<{ org_id: string; gateway_id: string; seq: number }>(
        `SELECT org_id, gateway_id, toFloat64(max(seq)) AS seq FROM cairn.events WHERE topic = {topic:String}
         GROUP BY org_id, gateway_id`,
        { topic },
      );
      const atMs = monotonicMs();
      for (const { org_id, gateway_id, seq } of rows) {
        const key = keyOf(org_id, gateway_id);
        const seen = sights.get(key) ?? [];
        sights.set(key, seen);
        if ((seen.at(-1)?.seq ?? -1) < seq) seen.push({ atMs, seq });
      }
      await sleep(Math.max(1, ASK_EVERY_MS - (atMs - beganMs)));
    }
  })();
  looking.catch(() => {});
  const sightsOf = ({ org, gateway }: ProducedStream): readonly Sight[] =>
    sights.get(keyOf(org, gateway)) ?? [];
  return {
    async until(streams, msMax) {
      const endMs = monotonicMs() + msMax;
      const seen = (stream: ProducedStream): boolean =>
        (sightsOf(stream).at(-1)?.seq ?? -1) >= (stream.seqs.at(-1) ?? -1);
      while (!streams.every(seen)) {
        if (monotonicMs() > endMs) throw new Error(`not everything was visible after ${msMax} ms`);
        await Promise.race([sleep(50), looking]);
      }
    },
    waitsOf(stream, fromMs) {
      const seen = sightsOf(stream);
      const waits: number[] = [];
      let at = 0;
      for (const [index, seq] of stream.seqs.entries()) {
        while (seen[at]!.seq < seq) at += 1;
        const dueMs = stream.dueMs[index]!;
        if (dueMs >= fromMs) waits.push(seen[at]!.atMs - dueMs);
      }
      return Float64Array.from(waits);
    },
    async [Symbol.asyncDispose]() {
      over = true;
      await looking;
    },
  };
}

const keyOf = (org: string, gateway: string): string => `${org} ${gateway}`;
