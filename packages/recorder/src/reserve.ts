import { join } from 'node:path';
import type { Disk } from './disk.ts';

/**
 * Disk space held back in a file of zeros, so that a full disk or a full spool still has room for the events that
 * say so. Zeros take up space on ext4 and xfs; on a file system that compresses they do not.
 */
export class Reserve {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #bytes: number;
  #held = false;
  /** Taking and giving up never overlap. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(disk: Disk, directory: string, bytes: number) {
    this.#disk = disk;
    this.#path = join(directory, 'reserve');
    this.#bytes = bytes;
  }

  /** False while the space is given up: then only the recorder's own events may be written. */
  get held(): boolean {
    return this.#held;
  }

  release(): Promise<void> {
    return this.#inTurn(async () => {
      this.#held = false;
      await this.#disk.remove(this.#path);
    });
  }

  /** Takes the space again; false when the disk does not have it. */
  take(): Promise<boolean> {
    return this.#inTurn(() => this.#take());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #take(): Promise<boolean> {
    if (this.#held) return true;
    try {
      await this.#disk.remove(this.#path);
      const file = await this.#disk.create(this.#path);
      try {
        const zeros = new Uint8Array(Math.min(this.#bytes, 64 * 1024));
        for (let at = 0; at < this.#bytes; at += zeros.length) {
          await file.append(zeros.subarray(0, Math.min(zeros.length, this.#bytes - at)));
        }
        await file.sync();
      } finally {
        await file.close();
      }
      this.#held = true;
    } catch {
      // The next try is a moment away, and until then nothing but the recorder's own events is written.
      await this.#disk.remove(this.#path).catch(() => {});
    }
    return this.#held;
  }
}
