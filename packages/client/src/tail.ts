import type { Event } from './api.gen.ts';

/** One event of a live tail. */
export interface TailedEvent {
  /** Behind it another tail of the same search goes on. */
  readonly id: string;
  readonly event: Event;
}

/** A block of server-sent events (WHATWG HTML, 9.2), as far as the API writes them. */
export interface Block {
  readonly id: string | undefined;
  readonly retryMs: number | undefined;
  readonly data: string | undefined;
}

/** The blocks of a stream; one that was cut off in its midst is none. */
export async function* blocksOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Block> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
    rest = blocks.pop() ?? '';
    yield* blocks.map(blockOf);
  }
}

function blockOf(text: string): Block {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf(': ');
    // A line that begins with a colon is a remark.
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2));
  }
  const retry = fields.get('retry');
  return {
    id: fields.get('id'),
    retryMs: retry === undefined ? undefined : Number(retry),
    data: fields.get('data'),
  };
}
