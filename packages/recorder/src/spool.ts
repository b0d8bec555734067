import { join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import { type Disk, type DiskFile, isErrno } from './disk.ts';
import type { Finding } from './finding.ts';
import { findingOf, type RecoveredSpool, recoverSpool } from './recover-spool.ts';
import { Reserve } from './reserve.ts';
import {
  encodeHead,
  encodeRecords,
  fileNameOf,
  readSpoolBytes,
  type SpoolContent,
  type SpoolRecord,
} from './spool-bytes.ts';
import { StoredCursor } from './spool-cursor.ts';

/** Space counts as free again below this share of the bound, so that the gate does not flutter. */
const FREE_SHARE = 0.9;

export interface SpoolOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Bound on the files together, without the reserve. */
  readonly bytesMax: number;
  /** A file is closed and the next begun at about this size. */
  readonly fileBytes: number;
  /** Space for the recorder's own events when the rest is full. */
  readonly reserveBytes: number;
  /** How long a moved cursor may stay in memory. A crash in between sends those records again and loses none. */
  readonly cursorMs: number;
  readonly nowMs: () => number;
  readonly onFinding: (finding: Finding) => void;
  /** Records became durable, or space became free. */
  readonly onChange: () => void;
}

/** One file. The last in the list is the one being written, once anything was written. */
interface SpoolFile {
  readonly name: string;
  readonly first: number;
  /** All numbers below this were durable when it was begun. */
  readonly priorEnd: number;
  /** Number after its last durable record. */
  end: number;
  bytes: number;
  /** When it was begun, milliseconds since 1970; undefined until a file of an earlier start is read. */
  begunMs: number | undefined;
  /** Its durable records from some number on, while they fit in memory; what was sent is dropped from the front. */
  records: KeptRecord[] | undefined;
}

interface KeptRecord extends SpoolRecord {
  readonly durableAtMs: number;
}

/**
 * The write-ahead log: appends durably, hands records out in order, and forgets them once they are sent.
 * One caller appends; one reads.
 */
export class Spool {
  readonly recovered: RecoveredSpool;
  readonly #options: SpoolOptions;
  readonly #reserve: Reserve;
  readonly #files: SpoolFile[];
  #writing: DiskFile | undefined;
  /** The number that the next write begins with. */
  #next: number;
  /** Number after the last durable record. */
  #durable: number;
  /** Number of the first record not sent, in memory and on disk. */
  #sent: number;
  #sentDurable: number;
  #full = false;
  #failing = false;
  #ownBytesMax = 0;
  #declared = 0;
  readonly #cursor: StoredCursor;
  #cursorTimer: NodeJS.Timeout | undefined;
  #cursorWrite: Promise<void> = Promise.resolve();
  #closed = false;
  #fromDisk: { readonly name: string; readonly content: SpoolContent } | undefined;
  readonly #damagesReported = new Set<string>();

  private constructor(options: SpoolOptions, recovered: RecoveredSpool, reserve: Reserve) {
    this.#options = options;
    this.#reserve = reserve;
    this.#cursor = new StoredCursor(options.disk, options.directory);
    this.recovered = recovered;
    this.#files = recovered.files.map((file) => ({ ...file, begunMs: undefined, records: undefined }));
    for (const { first, content } of recovered.contents) {
      const file = this.#files.find((candidate) => candidate.first === first)!;
      file.begunMs = content.head?.begunMs;
      this.#damagesReported.add(file.name);
    }
    this.#next = recovered.next;
    this.#durable = this.#files.at(-1)?.end ?? recovered.next;
    this.#sent = recovered.cursor;
    this.#sentDurable = recovered.cursor;
  }

  /**
   * Opens the spool in a directory that this process has locked. Gives up the reserve first, so that a full disk does
   * not keep the recorder from starting.
   */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { disk, directory } = options;
    await disk.makeDirectory(directory);
    const reserve = new Reserve(disk, directory, options.reserveBytes);
    await reserve.release();
    const spool = new Spool(options, await recoverSpool(disk, directory, options.onFinding), reserve);
    await spool.makeRoom();
    return spool;
  }

  /** Bytes of all files, without the reserve. */
  get bytes(): number {
    return this.#files.reduce((sum, file) => sum + file.bytes, 0);
  }

  /** Records that are durable and not sent; an estimate after a start, until older files have been read. */
  get depth(): number {
    return Math.max(0, this.#durable - this.#sent);
  }

  get sent(): number {
    return this.#sent;
  }

  /** Number after the last durable record. */
  get end(): number {
    return this.#durable;
  }

  /** Age of the oldest record not sent, in milliseconds; 0 when all is sent. Of records on disk only: the file's age. */
  get oldestMs(): number {
    if (this.depth === 0) return 0;
    const file = this.#files.find((candidate) => candidate.end > this.#sent);
    const kept = file?.records?.[indexFrom(file.records, this.#sent)];
    const sinceMs = kept?.durableAtMs ?? file?.begunMs;
    return sinceMs === undefined ? 0 : Math.max(0, this.#options.nowMs() - sinceMs);
  }

  /** True while only the recorder's own events fit. */
  get full(): boolean {
    return this.#full;
  }

  /** True after a write failed twice, until one succeeds. */
  get failing(): boolean {
    return this.#failing;
  }

  /** Whether these bodies would fit: `own` events may use the reserve, others not. */
  fits(bytes: number, own: boolean): boolean {
    const size = this.bytes + bytes;
    if (this.#full) return own && size <= this.#ownBytesMax;
    return size <= this.#options.bytesMax;
  }

  /** Something did not fit: from now on only the recorder's own events are written, until `makeRoom` says otherwise. */
  async declareFull(): Promise<void> {
    this.#declared += 1;
    if (this.#full) return;
    // Half of the reserve is for the cursor and the directory, so that what was sent can be removed.
    this.#ownBytesMax = this.bytes + this.#options.reserveBytes / 2;
    this.#full = true;
    await this.#reserve.release();
  }

  /** Takes the reserve again when there is room. Called at the start and every so often while the spool is full. */
  async makeRoom(): Promise<boolean> {
    if (this.#reserve.held && !this.#full) return true;
    const declared = this.#declared;
    const room = this.bytes <= this.#options.bytesMax * FREE_SHARE;
    const taken = room && (await this.#reserve.take());
    if (taken && declared === this.#declared) this.#full = false;
    else if (!this.#full) await this.declareFull();
    return !this.#full;
  }

  /** Begins the first file of an empty directory, so that a later start can tell a new spool from a lost one. */
  async begin(snapshot: Uint8Array): Promise<void> {
    await this.#begin(this.#next, new Uint8Array(), snapshot);
  }

  /**
   * Resolves with the number of the first body when all of them are durable: one durable write. A file whose
   * write failed is never tried again (the kernel may have dropped the pages and report success the next time);
   * the bodies go to a new file. When that fails too it throws, and the caller must append the same bodies again
   * before any other: some of them may be on disk.
   *
   * @param snapshot state of the streams before the first of these bodies, for the head of a new file
   */
  async append(bodies: readonly Uint8Array[], snapshot: () => Uint8Array): Promise<number> {
    try {
      return await this.#appendOnce(bodies, snapshot);
    } catch (error) {
      await this.#giveUp(bodies.length, error);
    }
    try {
      return await this.#appendOnce(bodies, snapshot);
    } catch (error) {
      await this.#giveUp(bodies.length, error);
      this.#failing = true;
      throw new Failure({
        code: isErrno(error, 'ENOSPC') ? 'spool.no-space' : 'spool.failed',
        retry: 'later',
        message: `The spool in ${this.#options.directory} cannot be written: ${messageOf(error)}.`,
        mend: 'Free space on the disk of the spool, or replace the disk.',
        cause: error,
      });
    }
  }

  async #appendOnce(bodies: readonly Uint8Array[], snapshot: () => Uint8Array): Promise<number> {
    const first = this.#next;
    const bytes = encodeRecords(first, bodies);
    const current = this.#files.at(-1);
    if (this.#writing !== undefined && current !== undefined && this.#takesMore(current, bytes.length)) {
      await this.#writing.append(bytes);
      current.bytes += bytes.length;
    } else {
      await this.#begin(first, bytes, snapshot());
    }
    const file = this.#files.at(-1)!;
    const durableAtMs = this.#options.nowMs();
    for (const [place, body] of bodies.entries())
      file.records?.push({ number: first + place, body, durableAtMs });
    file.end = this.#next = this.#durable = first + bodies.length;
    this.#failing = false;
    this.#options.onChange();
    return first;
  }

  #takesMore(file: SpoolFile, bytes: number): boolean {
    // In a full spool a file that is sent is left as soon as it is worth it, so that its space comes back.
    if (this.#full && file.end <= this.#sent && file.bytes >= this.#options.reserveBytes / 8) return false;
    return file.bytes + bytes <= this.#options.fileBytes;
  }

  /** A new file: its head and the first write go to disk together. */
  async #begin(first: number, bytes: Uint8Array, snapshot: Uint8Array): Promise<void> {
    const { disk, directory, nowMs } = this.#options;
    await this.#writing?.close().catch(() => {});
    this.#writing = undefined;
    const begunMs = nowMs();
    const priorEnd = this.#durable;
    const headBytes = encodeHead(first, { begunMs, snapshot });
    const name = fileNameOf(first, priorEnd);
    const file = await disk.createDurable(join(directory, name));
    try {
      await file.append(Buffer.concat([headBytes, bytes]));
      await disk.syncDirectory(directory);
    } catch (error) {
      await file.close().catch(() => {});
      // Nothing in it was acknowledged. If it stays, its records repeat those of a later file.
      await disk.remove(join(directory, name)).catch(() => {});
      throw error;
    }
    this.#writing = file;
    const size = headBytes.length + bytes.length;
    this.#files.push({ name, first, priorEnd, end: first, bytes: size, begunMs, records: [] });
    this.#boundMemory();
  }

  async #giveUp(count: number, error: unknown): Promise<void> {
    const file = this.#files.at(-1);
    const writing = this.#writing;
    this.#options.onFinding({
      code: 'spool.write-failed',
      message: `${count} records are written again: ${messageOf(error)}.`,
      ...(file === undefined ? {} : { file: file.name }),
    });
    // Numbers of a failed write may be on disk, so they are not used again.
    this.#next += count;
    this.#writing = undefined;
    if (isErrno(error, 'ENOSPC')) await this.declareFull().catch(() => {});
    if (writing !== undefined && file !== undefined) await writing.cut(file.bytes).catch(() => {});
    await writing?.close().catch(() => {});
  }

  /**
   * Durable records from this number on: those of one file, or undefined when all were handed out. Damaged records are
   * skipped and reported.
   */
  async read(from: number): Promise<{ file: string; records: readonly SpoolRecord[] } | undefined> {
    for (;;) {
      const index = this.#files.findIndex((candidate) => candidate.end > from);
      const file = this.#files[index];
      if (file === undefined) return undefined;
      if (file.priorEnd > from) this.#reportMissing(file, from);
      const records =
        file.records ?? (await this.#readFile(file, this.#files[index + 1]?.priorEnd ?? file.end));
      const found = records.slice(indexFrom(records, from));
      if (found.length > 0) return { file: file.name, records: found };
      from = file.end;
    }
  }

  async #readFile(file: SpoolFile, durableEnd: number): Promise<readonly SpoolRecord[]> {
    if (this.#fromDisk?.name === file.name) return this.#fromDisk.content.records;
    const bytes = await this.#options.disk.read(join(this.#options.directory, file.name));
    const content = readSpoolBytes(bytes ?? new Uint8Array(), file.first, durableEnd);
    this.#fromDisk = { name: file.name, content };
    file.begunMs ??= content.head?.begunMs;
    if (!this.#damagesReported.has(file.name)) {
      this.#damagesReported.add(file.name);
      for (const damage of content.damages) {
        // The end of a file that was given up after a failed write is no loss: it was written again.
        if (damage.what === 'lost') this.#options.onFinding(findingOf(file.name, damage));
      }
    }
    return content.records;
  }

  #reportMissing(file: SpoolFile, from: number): void {
    if (file.first <= from || this.#damagesReported.has(`before ${file.name}`)) return;
    this.#damagesReported.add(`before ${file.name}`);
    const message = `Records ${from} to ${file.priorEnd - 1} are not in the spool.`;
    this.#options.onFinding({ code: 'spool.missing', message });
  }

  /** Everything below this number is sent. */
  release(upTo: number): void {
    // Whoever has the directory after it was closed sends again what is acknowledged only now.
    if (upTo <= this.#sent || this.#closed) return;
    this.#sent = upTo;
    this.#cursorTimer ??= setTimeout(() => {
      // Reported where it fails; the next move of the cursor stores it again.
      this.storeCursor().catch(() => {});
    }, this.#options.cursorMs);
  }

  /** Stores the cursor now; rejects when that fails, and the records are then sent again after a crash. */
  storeCursor(): Promise<void> {
    clearTimeout(this.#cursorTimer);
    this.#cursorTimer = undefined;
    const stored = this.#cursorWrite.then(() => this.#storeCursor());
    this.#cursorWrite = stored.catch(() => {});
    return stored;
  }

  async #storeCursor(): Promise<void> {
    const sent = this.#sent;
    try {
      // 1 the cursor; 2 the files before it. Between the two a crash leaves files that the next start removes.
      if (sent !== this.#sentDurable) await this.#cursor.store(sent);
      this.#sentDurable = sent;
      await this.#removeSent();
    } catch (error) {
      if (isErrno(error, 'ENOSPC')) await this.declareFull().catch(() => {});
      const message = `The cursor stays behind: ${messageOf(error)}.`;
      this.#options.onFinding({ code: 'spool.write-failed', file: 'cursor', message });
      throw error;
    }
  }

  /** The last file stays: its head holds the state of the streams. */
  async #removeSent(): Promise<void> {
    const { disk, directory } = this.#options;
    for (const file of this.#files) {
      if (file.records !== undefined) file.records.splice(0, indexFrom(file.records, this.#sentDurable));
    }
    let removed = false;
    while (this.#files.length > 1 && this.#files[0]!.end <= this.#sentDurable) {
      const file = this.#files[0]!;
      await disk.remove(join(directory, file.name));
      this.#files.shift();
      if (this.#fromDisk?.name === file.name) this.#fromDisk = undefined;
      removed = true;
    }
    if (removed) {
      await disk.syncDirectory(directory);
      this.#options.onChange();
    }
  }

  /** Only the newest files keep their records in memory; the others are read again when their turn comes. */
  #boundMemory(): void {
    let kept = 0;
    for (const file of this.#files.toReversed()) {
      kept += file.bytes;
      if (file !== this.#files.at(-1) && kept > 2 * this.#options.fileBytes) file.records = undefined;
    }
  }

  /** Stores the cursor and closes the file. What was not sent stays for the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.storeCursor().catch(() => {});
    await this.#cursor.close();
    await this.#writing?.close().catch(() => {});
    this.#writing = undefined;
  }
}

/** Index of the first record with this number or a higher one. */
function indexFrom(records: readonly SpoolRecord[], number: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (records[middle]!.number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}
