import type { LogRecord } from './log-record.ts';
import { type Gathering, sizeOf } from './mailbox.ts';

/** Holds hundreds of records; a record that is larger gets a page of its own. */
const PAGE_BYTES = 256 * 1024;

/** Bytes kept free before values, for who borrows them: see `leafHashText`. */
const MARGIN_BYTES = 16;

interface Page {
  readonly bytes: Uint8Array;
  used: number;
  /** Records on it that are still needed; one more while it is written to. */
  needed: number;
}

/**
 * The memory in which records wait. What a fetch brought is copied here and goes at once, and a page whose records were all
 * released is used again. Otherwise megabytes of fetched bytes wait for the collector, which comes late to what has grown
 * old: it held more memory than all records that waited.
 */
export class Pages {
  private readonly spare: Page[] = [];
  private readonly spareMax: number;

  /** @param bytesMax of pages that are kept for use again. */
  constructor(bytesMax: number) {
    this.spareMax = Math.ceil(bytesMax / PAGE_BYTES);
  }

  take(bytes: number): Page {
    const wanted = bytes + MARGIN_BYTES;
    const page =
      wanted > PAGE_BYTES
        ? { bytes: new Uint8Array(wanted), used: 0, needed: 0 }
        : (this.spare.pop() ?? { bytes: new Uint8Array(PAGE_BYTES), used: 0, needed: 0 });
    page.used = MARGIN_BYTES;
    page.needed = 1;
    return page;
  }

  /** So many of those who needed the page need it no more. @returns true when nobody does. */
  release(page: Page, count: number): boolean {
    page.needed -= count;
    if (page.needed > 0) return false;
    if (page.bytes.length === PAGE_BYTES && this.spare.length < this.spareMax) this.spare.push(page);
    return true;
  }
}

/** The records of a chunk, kept as they came. */
export interface KeptRecords extends Gathering {
  /** Empty once they were released. */
  readonly records: readonly LogRecord[];
}

/** The pages of one partition, from one opening of it to the next. */
export class Shelf {
  private readonly pages: Pages;
  private writing: Page | undefined;
  private readonly pageOf = new Map<Uint8Array, Page>();

  constructor(pages: Pages) {
    this.pages = pages;
  }

  /** Begins a chunk whose records are kept here. */
  gather(): KeptRecords {
    const records: LogRecord[] = [];
    let bytesHeld = 0;
    return {
      records,
      get bytesHeld() {
        return bytesHeld;
      },
      add: (more) => {
        for (const record of this.keep(more)) {
          records.push(record);
          bytesHeld += sizeOf(record);
        }
      },
      release: () => {
        this.release(records);
        records.length = 0;
        bytesHeld = 0;
      },
    };
  }

  /** Copies the values of records here. @returns the records, where they are now. */
  keep(records: readonly LogRecord[]): LogRecord[] {
    const kept: LogRecord[] = [];
    for (let from = 0; from < records.length; ) {
      const first = records[from]!;
      if (first.start < 0) {
        kept.push(first);
        from += 1;
        continue;
      }
      const page = this.pageFor(first.end - first.start);
      // As one piece: all that lie in the same bytes one behind the other, as far as the page goes.
      const end = first.start + page.bytes.length - page.used;
      let to = from + 1;
      for (let last = first; to < records.length; to += 1) {
        const next = records[to]!;
        if (next.bytes !== first.bytes || next.start < last.end || next.end > end) break;
        last = next;
      }
      const last = records[to - 1]!;
      page.bytes.set(first.bytes.subarray(first.start, last.end), page.used);
      const shift = page.used - first.start;
      for (let index = from; index < to; index += 1) {
        const { offset, appendedAtMs, start, end: stop } = records[index]!;
        kept.push({ offset, appendedAtMs, bytes: page.bytes, start: start + shift, end: stop + shift });
      }
      page.used += last.end - first.start + MARGIN_BYTES;
      page.needed += to - from;
      from = to;
    }
    return kept;
  }

  /** Records that were kept here are needed no more; their bytes may be written over from now on. */
  release(records: readonly LogRecord[]): void {
    for (let from = 0; from < records.length; ) {
      const { bytes } = records[from]!;
      let to = from + 1;
      while (to < records.length && records[to]!.bytes === bytes) to += 1;
      const page = this.pageOf.get(bytes);
      if (page) {
        this.letGo(page, to - from);
        // A partition without a record holds no page.
        if (page === this.writing && page.needed === 1) {
          this.writing = undefined;
          this.letGo(page, 1);
        }
      }
      from = to;
    }
  }

  private pageFor(bytes: number): Page {
    const { writing } = this;
    if (writing && writing.used + bytes <= writing.bytes.length) return writing;
    const page = this.pages.take(bytes);
    this.pageOf.set(page.bytes, page);
    this.writing = page;
    if (writing) this.letGo(writing, 1);
    return page;
  }

  private letGo(page: Page, count: number): void {
    if (this.pages.release(page, count)) this.pageOf.delete(page.bytes);
  }
}
