import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Disk, DiskFile } from './disk.ts';
import { replaceFile } from './replace-file.ts';

/*
 * File `cursor`: two places of 4,096 bytes, each a line of text with zeros behind it.
 *
 *   0                        4096                     8192
 *   | 1234 9be3e0a3\n 00 … | 1198 0f6c1bd2\n 00 … |
 *
 *   line   the number of the first record that is not known to be sent, and the CRC-32 of that number's digits
 *
 * The cursor only rises, so of the lines whose sum fits the higher one counts. They are written in turn: a write that is
 * torn leaves the other.
 */

const PLACE_BYTES = 4_096;
const LINE_BYTES = 64;

/** The stored cursor; undefined when there is none or it cannot be read, then sending starts at the oldest record. */
export async function readCursor(disk: Disk, directory: string): Promise<number | undefined> {
  const bytes = await disk.read(join(directory, 'cursor'));
  if (bytes === undefined) return undefined;
  const lines = [0, PLACE_BYTES].map((at) =>
    Buffer.from(bytes.subarray(at, at + LINE_BYTES)).toString('latin1'),
  );
  const numbers = lines.flatMap((line) => {
    const [, digits, sum] = /^(\d{1,16}) ([0-9a-f]{8})\n/.exec(line) ?? [];
    return digits !== undefined && sum === sumOf(digits) ? [Number(digits)] : [];
  });
  return numbers.length === 0 ? undefined : Math.max(...numbers);
}

/**
 * The cursor as it is stored while the recorder runs. The first store makes the file anew. From then on it is written over
 * where it lies: a file that is put in the place of another commits the file system's journal twice, and every event that
 * is recorded meanwhile waits for both.
 */
export class StoredCursor {
  readonly #disk: Disk;
  readonly #path: string;
  #file: DiskFile | undefined;
  #place = 0;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#path = join(directory, 'cursor');
  }

  /** Resolves when it is durable. After a rejection the old or the new number may be found. Never called twice at a time. */
  async store(next: number): Promise<void> {
    const file = this.#file;
    if (file === undefined) {
      await replaceFile(this.#disk, this.#path, Buffer.concat([placeOf(next), placeOf(next)]));
      this.#file = await this.#disk.open(this.#path);
      return;
    }
    try {
      await file.overwrite(this.#place * PLACE_BYTES, placeOf(next).subarray(0, LINE_BYTES));
      this.#place = 1 - this.#place;
    } catch (error) {
      // What stands in that place is unknown, and the kernel may have dropped the page: the next store makes a new file.
      this.#file = undefined;
      await file.close().catch(() => {});
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }
}

function placeOf(next: number): Buffer {
  const digits = String(next);
  const place = Buffer.alloc(PLACE_BYTES);
  place.write(`${digits} ${sumOf(digits)}\n`, 'latin1');
  return place;
}

function sumOf(digits: string): string {
  return crc32(digits).toString(16).padStart(8, '0');
}
