import { isFailure } from '@cairn/failure';
import type { LedgerFinding } from '@cairn/ledger';
import type { Evidence, EvidenceObject } from './evidence.ts';

/** More than any object of these kinds has. */
export const NOTE_BYTES_MAX = 16 * 1024 ** 2;
export const SEGMENT_BYTES_MAX = 256 * 1024 ** 2;
export const TIMESTAMP_BYTES_MAX = 65_536;

/** Reads that are on their way at the same time. */
const AHEAD = 16;

export interface ReadObject extends Pick<EvidenceObject, 'name' | 'disturbed'> {
  readonly bytes: Uint8Array;
}

/**
 * Objects under a prefix, in order, some of them read ahead. One that vanished meanwhile is passed over.
 *
 * @param wants those that are read; default all.
 */
export async function* readAhead(
  evidence: Pick<Evidence, 'list' | 'read'>,
  prefix: string,
  bytesMax: number,
  wants: (name: string) => boolean = () => true,
): AsyncGenerator<ReadObject> {
  const ahead: (Omit<ReadObject, 'bytes'> & { readonly bytes: Promise<Uint8Array | undefined> })[] = [];
  async function* take() {
    const { bytes: reading, ...object } = ahead.shift()!;
    const bytes = await reading;
    if (bytes !== undefined) yield { ...object, bytes };
  }
  for await (const { name, version, disturbed } of evidence.list(prefix)) {
    if (!wants(name)) continue;
    const bytes = readOr(evidence, name, bytesMax, version);
    // It is awaited in its turn.
    bytes.catch(() => {});
    ahead.push({ name, bytes, disturbed });
    if (ahead.length >= AHEAD) yield* take();
  }
  while (ahead.length > 0) yield* take();
}

/** An object that is larger than any of its kind is there and says nothing: as if it were empty. */
export async function readOr(
  evidence: Pick<Evidence, 'read'>,
  name: string,
  bytesMax: number,
  version?: string,
): Promise<Uint8Array | undefined> {
  try {
    return await evidence.read(name, bytesMax, version);
  } catch (error) {
    if (isFailure(error, 'evidence.too-large')) return new Uint8Array();
    throw error;
  }
}

/** Somebody put a version in front of an object, or hid it. The one that was put first is judged, and this is told. */
export function disturbanceOf({ name, disturbed }: Pick<EvidenceObject, 'name' | 'disturbed'>, leaf: number) {
  const detail = `${name} was ${disturbed} by a newer version; the first one is judged`;
  return { reason: 'disturbed', leaf, detail, object: name } satisfies LedgerFinding;
}
