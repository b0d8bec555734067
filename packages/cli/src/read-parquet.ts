import { open } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';

const MAGIC = Buffer.from('PAR1');
/** A row group of an export has some ten MB; what claims more is no export, and is not unpacked. */
const PAGE_BYTES_MAX = 256 * 1024 ** 2;

export async function isParquet(file: string): Promise<boolean> {
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(MAGIC.length), position: 0 });
  return bytesRead === MAGIC.length && buffer.equals(MAGIC);
}

/**
 * Rows of a Parquet file in their order, as JSON would have them: whole numbers as numbers, lists and records as such. One row group
 * is held at a time.
 *
 * @throws Error of what is no Parquet file, or one that is cut off.
 */
export async function* readParquet(file: string): AsyncGenerator<Readonly<Record<string, unknown>>> {
  await using handle = await open(file);
  const { size } = await handle.stat();
  const bytes: AsyncBuffer = {
    byteLength: size,
    async slice(start, end = size) {
      const buffer = Buffer.alloc(Math.max(0, end - start));
      const { bytesRead } = await handle.read({ buffer, position: start });
      if (bytesRead < buffer.length) throw new Error(`it ends before byte ${end}`);
      return new Uint8Array(buffer).buffer;
    },
  };
  const metadata = await parquetMetadataAsync(bytes);
  let rowStart = 0;
  for (const { num_rows: rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(rows);
    for (const row of await parquetReadObjects({
      file: bytes,
      metadata,
      rowStart,
      rowEnd,
      compressors: COMPRESSORS,
    }))
      yield plain(row) as Readonly<Record<string, unknown>>;
    rowStart = rowEnd;
  }
}

/** What ClickHouse writes by default; the platform reads it. */
const COMPRESSORS = {
  ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input, { maxOutputLength: PAGE_BYTES_MAX })),
};

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (typeof value !== 'object' || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}
