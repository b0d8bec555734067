import { createParser } from 'eventsource-parser';

/**
 * Cuts a stream of server-sent events (WHATWG HTML, "Server-sent events") into its events without changing a byte: each
 * piece ends with the empty line that ends the event.
 */
export class EventCutter {
  /** What came of the event that has not ended, without its last bytes, which may be the beginning of its end. */
  private held: Uint8Array[] = [];
  private heldBytes = 0;
  private tail: Uint8Array = new Uint8Array();
  private readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Whole events that this chunk completes. @throws RangeError when one event is larger than allowed. */
  push(chunk: Uint8Array): Uint8Array[] {
    // Each byte is looked at once and a few twice, however many pieces an event comes in.
    const bytes = this.tail.length === 0 ? chunk : Buffer.concat([this.tail, chunk]);
    const events: Uint8Array[] = [];
    let start = 0;
    for (let end = endOfEvent(bytes, start); end > 0; end = endOfEvent(bytes, start)) {
      const piece = bytes.subarray(start, end);
      events.push(this.held.length === 0 ? piece : Buffer.concat([...this.held, piece]));
      this.held = [];
      this.heldBytes = 0;
      start = end;
    }
    const kept = Math.max(start, bytes.length - END_BYTES_MAX);
    if (kept > start) this.held.push(bytes.subarray(start, kept));
    this.heldBytes += kept - start;
    this.tail = bytes.subarray(kept);
    if (this.heldBytes + this.tail.length > this.bytesMax)
      throw new RangeError('an event is larger than allowed');
    return events;
  }

  /** What came after the last whole event. */
  end(): Uint8Array {
    return Buffer.concat([...this.held, this.tail]);
  }
}

/** Two line ends of two bytes, without the last byte. */
const END_BYTES_MAX = 3;
const LF = 10;
const CR = 13;

/** Where the event that begins here ends, behind its empty line; 0 when it has not ended. */
function endOfEvent(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length) {
    const next = behindLineEnd(bytes, at);
    if (next === 0) {
      at += 1;
      continue;
    }
    const second = behindLineEnd(bytes, next);
    if (second > 0) return second;
    at = next;
  }
  return 0;
}

/** The offset behind a line end that stands here; 0 when none does. */
function behindLineEnd(bytes: Uint8Array, at: number): number {
  if (bytes[at] === LF) return at + 1;
  if (bytes[at] === CR) return bytes[at + 1] === LF ? at + 2 : at + 1;
  return 0;
}

/** The data of one whole event; undefined for comments and events without data. */
export function dataOf(event: Uint8Array): string | undefined {
  let data: string | undefined;
  const parser = createParser({
    onEvent: (parsed) => {
      data = parsed.data;
    },
  });
  parser.feed(new TextDecoder().decode(event));
  return data === '' ? undefined : data;
}

/** A message as one event. */
export function eventOf(message: string): string {
  return `event: message\n${message
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;
}
