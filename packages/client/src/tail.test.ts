import { expect, test } from '@jest/globals';
import { openClient } from './index.ts';

/** Answers one after the other; asked with which id. */
function answering(answers: readonly Response[]) {
  const asked: (string | null)[] = [];
  const left = [...answers];
  const client = openClient({
    url: 'http://api',
    key: 'k',
    fetch: async (_url, options) => {
      asked.push(new Headers(options?.headers).get('last-event-id'));
      const next = left.shift();
      if (next === undefined) throw new TypeError('fetch failed');
      return next;
    },
  });
  return { client, asked };
}
/** Cut off behind its last piece. */
const stream = (...pieces: string[]): Response => {
  const left = [...pieces];
  return new Response(
    new ReadableStream({
      pull: (controller) => {
        const piece = left.shift();
        if (piece === undefined) controller.error(new TypeError('terminated'));
        else controller.enqueue(new TextEncoder().encode(piece));
      },
    }),
  );
};
const event = (id: string) => `id: ${id}\nevent: event\ndata: {"event_id":"${id}"}\n\n`;
const problem = (status: number, code: string) =>
  new Response(JSON.stringify({ status, code, detail: 'why' }), { status });

test('a tail that is cut off in the midst of a block goes on behind the last whole one, and takes over its id', async () => {
  const { client, asked } = answering([
    stream('retry: 1\nid: begin\n\n', event('a'), event('b').slice(0, 20)),
    problem(503, 'unavailable'),
    // Pieces end anywhere, and a block without data moves the id.
    stream(event('b').slice(0, 9), `${event('b').slice(9)}id: later\n\n: remark\n`, '\n'),
    stream(event('c')),
  ]);
  const seen: string[] = [];
  for await (const { id, event: one } of client.tail('decision:deny')) {
    expect(one.event_id).toBe(id);
    seen.push(id);
    if (seen.length === 3) break;
  }
  expect(seen).toEqual(['a', 'b', 'c']);
  expect(asked).toEqual([null, 'a', 'a', 'later']);
});

test('a tail whose id is too old is told so, and not taken up in silence', async () => {
  const { client, asked } = answering([problem(410, 'cursor.expired')]);
  const tail = client.tail('x', { after: 'old' });
  await expect(tail.next()).rejects.toMatchObject({ problem: { code: 'cursor.expired' } });
  expect(asked).toEqual(['old']);
});

test('a tail ends when whoever asked ends it', async () => {
  const ended = new AbortController();
  const { client } = answering([stream('retry: 60000\nid: begin\n\n', event('a'))]);
  const seen: string[] = [];
  for await (const { id } of client.tail('x', { signal: ended.signal })) {
    seen.push(id);
    setTimeout(() => ended.abort(), 20);
  }
  expect(seen).toEqual(['a']);
});
