// How far a live tail has come, as the caller holds it: the `id` of its server-sent events. Base64url of JSON:
//
//   {"of":"…","at":1795000000000,"heads":{"audit.events.standard":[[0,4711],[3,17]]}}
//
// Of each partition that holds events of the organisation the offset up to which all of them were sent, since partitions are loaded
// independently of each other and one number would pass over what a slow one still brings. It is no secret and gives no right.
import { type Day, dayOf } from '@cairn/query';
import { z } from 'zod';
import { parseCursor } from './cursor.ts';
import { Refusal } from './problem.ts';

/** The last offset of one partition that a tail has sent, or that the table holds. */
export interface Head {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface TailCursor {
  /** Digest of the installation, the organisation and the search. */
  readonly of: string;
  /** When everything up to the heads had been sent, milliseconds since 1970: what is missing was loaded later. */
  readonly at: number;
  readonly heads: readonly Head[];
}

/** Characters of a `Last-Event-ID`; some 1,000 partitions. */
export const TAIL_CURSOR_MAX = 24_000;

const schema = z.strictObject({
  of: z.string(),
  at: z.int().min(0).max(8_640_000_000_000_000),
  heads: z.record(
    z.string().max(249),
    z.array(z.tuple([z.int().min(0).max(2_147_483_647), z.int().min(-1)])),
  ),
});

export function writeTailCursor({ of, at, heads }: TailCursor): string {
  const byTopic = Map.groupBy(heads, ({ topic }) => topic);
  const places = [...byTopic].map(
    ([topic, some]) => [topic, some.map(({ partition, offset }) => [partition, offset])] as const,
  );
  return Buffer.from(JSON.stringify({ of, at, heads: Object.fromEntries(places) })).toString('base64url');
}

/** @throws Refusal `cursor.invalid` when it is none, or belongs to another search, organisation or installation. */
export function readTailCursor(text: string, of: string): TailCursor {
  const cursor = text.length > TAIL_CURSOR_MAX ? undefined : parseCursor(schema, text);
  if (cursor === undefined) throw new Refusal('cursor.invalid', 'Last-Event-ID is no id of a live tail.');
  if (cursor.of !== of)
    throw new Refusal('cursor.invalid', 'Last-Event-ID is of another search or installation. Begin without.');
  const heads = Object.entries(cursor.heads).flatMap(([topic, places]) =>
    places.map(([partition, offset]) => ({ topic, partition, offset })),
  );
  return { of, at: cursor.at, heads };
}

/**
 * Whether everything behind a cursor is still there, so that going on leaves no hole.
 *
 * @param days that the table holds, in order; it loses whole days, the oldest first.
 * @throws Refusal `cursor.expired` when a day of it has been dropped.
 */
export function checkDays(cursor: Pick<TailCursor, 'at' | 'heads'>, [first]: readonly Day[]): void {
  const holds = first === undefined ? cursor.heads.length === 0 : first <= dayOf(cursor.at);
  if (!holds)
    throw new Refusal(
      'cursor.expired',
      `ClickHouse holds events received from ${first ?? 'no day'} on, and Last-Event-ID is older. Search the archive for what lies between (store=both), and begin without it.`,
    );
}

/** Whether the table has got as far as a cursor. @throws Refusal `unavailable` when it has not. */
export function checkHeads(cursor: Pick<TailCursor, 'heads'>, heads: readonly Head[]): void {
  // A partition of which nothing is left has lost it with its days; one that goes less far was not loaded yet.
  const behind = cursor.heads.find(
    ({ topic, partition, offset }) =>
      (heads.find((head) => head.topic === topic && head.partition === partition)?.offset ?? offset) < offset,
  );
  if (behind !== undefined)
    throw new Refusal(
      'unavailable',
      'ClickHouse does not hold yet what Last-Event-ID has seen: it is being loaded. Try again later.',
    );
}
