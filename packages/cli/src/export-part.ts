// An export that is not whole yet, beside the file that it becomes:
//
//   <file>.part        rows that came, the last one whole
//   <file>.part.json   {"v":1,"form","search","start","bytes","rows","last"}: how much of them is on disk, and where it goes on
//
// Owner: the one `cairn export` that writes them. A process that is killed leaves at most `SYNC_BYTES` that its note does not know of; they
// are cut off and come again.
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { Failure } from '@cairn/failure';
import { z } from 'zod';
import { FORMS, type Form, type Place } from './read-answer.ts';

const SYNC_BYTES = 32 * 1024 ** 2;

const place = z.strictObject({
  timestamp: z.int().min(0),
  topic: z.string(),
  partition: z.int().min(0),
  offset: z.int().min(0),
});
const schema = z.strictObject({
  v: z.literal(1),
  form: z.enum(FORMS),
  search: z.string(),
  /** Cursor of the beginning: when the export was asked for, and what for. */
  start: z.string().min(1),
  bytes: z.int().min(0),
  rows: z.int().min(0),
  last: place.nullable(),
});
type Note = z.infer<typeof schema>;

export interface ExportedPart {
  readonly form: Form;
  readonly search: string;
  /** Where it will be. */
  readonly file: string;
}

export class ExportPart {
  readonly #of: ExportedPart;
  readonly #handle: FileHandle;
  #start: string | undefined;
  #bytes: number;
  #synced: number;
  #rows: number;
  #last: Place | undefined;

  private constructor(of: ExportedPart, handle: FileHandle, note: Note | undefined) {
    this.#of = of;
    this.#handle = handle;
    this.#start = note?.start;
    this.#bytes = this.#synced = note?.bytes ?? 0;
    this.#rows = note?.rows ?? 0;
    this.#last = note?.last ?? undefined;
  }

  /** An empty one, in the place of whatever an earlier run left. */
  static async begin(of: ExportedPart): Promise<ExportPart> {
    await rm(noteOf(of.file), { force: true });
    return new ExportPart(of, await open(partOf(of.file), 'w'), undefined);
  }

  /**
   * What an earlier run left of the same export.
   *
   * @returns undefined when it left nothing.
   * @throws Failure `config.invalid` when it was another export, or the files are not as they were left.
   */
  static async resume(of: ExportedPart): Promise<ExportPart | undefined> {
    const text = await readFile(noteOf(of.file), 'utf8').catch(ifAbsent);
    const handle = text === undefined ? undefined : await open(partOf(of.file), 'r+').catch(ifAbsent);
    if (text === undefined || handle === undefined) return undefined;
    try {
      const note = readNote(of, text);
      if (note.form !== of.form || note.search !== of.search)
        throw unusable(of, `it was begun as ${note.form}, of ${JSON.stringify(note.search)}`);
      if ((await handle.stat()).size < note.bytes) throw unusable(of, 'it is shorter than it was');
      await handle.truncate(note.bytes);
      return new ExportPart(of, handle, note);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Cursor behind what is there; undefined before the first answer. */
  get after(): string | undefined {
    if (this.#start === undefined || this.#last === undefined) return this.#start;
    const cursor = JSON.parse(Buffer.from(this.#start, 'base64url').toString()) as object;
    return Buffer.from(JSON.stringify({ ...cursor, at: this.#last })).toString('base64url');
  }

  /** Keeps the cursor of the first answer. From then on another run can go on. */
  async startAt(start: string): Promise<void> {
    if (this.#start !== undefined) return;
    this.#start = start;
    await this.sync();
  }

  async append(bytes: Buffer, rows: number, last: Place | undefined): Promise<void> {
    await writeAll(this.#handle, bytes, this.#bytes);
    this.#bytes += bytes.length;
    this.#rows += rows;
    this.#last = last ?? this.#last;
    if (this.#bytes - this.#synced >= SYNC_BYTES) await this.sync();
  }

  /** Takes out what came before the first row, or of what has no rows to go on behind; the cursor of the beginning stays. */
  async empty(): Promise<void> {
    if (this.#bytes === 0) return;
    await this.#handle.truncate(0);
    [this.#bytes, this.#rows, this.#last] = [0, 0, undefined];
    await this.sync();
  }

  /** 1. What came is on disk. 2. COMMIT POINT: the note says so. */
  async sync(): Promise<void> {
    await this.#handle.datasync();
    this.#synced = this.#bytes;
    if (this.#start === undefined) return;
    const { form, search, file } = this.#of;
    const [start, bytes, rows, last] = [this.#start, this.#bytes, this.#rows, this.#last ?? null];
    const note: Note = { v: 1, form, search, start, bytes, rows, last };
    const written = `${noteOf(file)}.new`;
    const handle = await open(written, 'w');
    await handle.writeFile(JSON.stringify(note));
    await handle.datasync();
    await handle.close();
    await rename(written, noteOf(file));
  }

  /**
   * 1. What came, and what stands behind the last row, is on disk. 2. COMMIT POINT: it is the file. 3. The note goes.
   *
   * @param bytes behind the last row. No note knows of them: who goes on before 2. gets them again.
   */
  async finish(bytes: Buffer): Promise<void> {
    await writeAll(this.#handle, bytes, this.#bytes);
    await this.#handle.datasync();
    await this.#handle.close();
    await rename(partOf(this.#of.file), this.#of.file);
    await rm(noteOf(this.#of.file), { force: true });
  }

  /** Leaves it for another run. Where the disk takes no more, the note before stands. */
  async leave(): Promise<void> {
    await this.sync().catch(() => {});
    await this.#handle.close();
  }

  /** Takes it away. */
  async abandon(): Promise<void> {
    await this.#handle.close();
    for (const file of [partOf(this.#of.file), noteOf(this.#of.file)]) await rm(file, { force: true });
  }
}

const partOf = (file: string): string => `${file}.part`;
const noteOf = (file: string): string => `${file}.part.json`;

function readNote(of: ExportedPart, text: string): Note {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw unusable(of, `${noteOf(of.file)} is no note of an export`);
}

function ifAbsent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}

/** A write may take a part of its bytes alone. */
async function writeAll(handle: FileHandle, bytes: Buffer, from: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, from + done);
    done += bytesWritten;
  }
}

const unusable = ({ file }: ExportedPart, why: string): Failure =>
  new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `${file}.part cannot be gone on with: ${why}`,
    mend: 'Ask as it was asked then, or leave --resume out to begin anew.',
  });
