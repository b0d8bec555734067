// Where a page ended, as the caller holds it: base64url of JSON. It is no secret and gives no right: every statement is bound to
// the caller's organisation whatever a cursor says. What it was made for stands in it as a digest, so that it is not used for
// something else by mistake.
import { createHash } from 'node:crypto';
import type { EventPlace } from '@cairn/query';
import { z } from 'zod';
import { Refusal } from './problem.ts';

const schema = z.strictObject({
  /** Digest of the organisation and the search. */
  of: z.string(),
  /** When the first page was asked for, microseconds: what `now` means, and what was received later is in no page. */
  now: z.int().min(0).max(8_640_000_000_000_000),
  at: z.strictObject({
    timestamp: z.int().min(0).max(8_640_000_000_000_000),
    topic: z.string().max(249),
    partition: z.int().min(0).max(2_147_483_647),
    offset: z.int().min(0),
  }),
});
export type Cursor = z.infer<typeof schema>;

export const cursorParameter = z.string().max(1_024).optional().describe('`next` of the page before.');

export function writeCursor(
  of: string,
  now: number,
  { timestamp, topic, partition, offset }: EventPlace,
): string {
  return Buffer.from(JSON.stringify({ of, now, at: { timestamp, topic, partition, offset } })).toString(
    'base64url',
  );
}

/** @throws Refusal `cursor.invalid` when it is none, or was made for another search or organisation. */
export function readCursor(text: string, of: string): Cursor {
  const cursor = parseCursor(schema, text);
  if (cursor === undefined) throw new Refusal('cursor.invalid', 'It is no cursor.');
  if (cursor.of !== of)
    throw new Refusal('cursor.invalid', 'It was made for another search. Begin anew without it.');
  return cursor;
}

/** What stands in a cursor: base64url of JSON. Undefined when the text is none of this form. */
export function parseCursor<Form extends z.ZodType>(form: Form, text: string): z.output<Form> | undefined {
  try {
    return form.safeParse(JSON.parse(Buffer.from(text, 'base64url').toString())).data;
  } catch {
    return undefined;
  }
}

export const digestOf = (...parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22);
