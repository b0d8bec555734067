import { open } from 'node:fs/promises';
import { type OnProgress, type Trusted, timestampIn } from '@cairn/archive';
import { isFailure, messageOf } from '@cairn/failure';
import {
  BundleVerifier,
  type EvidenceVerdict,
  readUstarHeader,
  type TimestampVerdict,
  USTAR_BLOCK_BYTES,
  USTAR_END_BYTES,
  type UstarMember,
  ustarPadding,
} from '@cairn/ledger';

/** More than any member has: the leaves of a segment are 2 MiB, its events at most 128 MiB before they are compressed. */
const MEMBER_BYTES_MAX = 256 * 1024 ** 2;

export interface BundleReading {
  readonly onProgress?: OnProgress;
  /** Ends at the first thing that leaves the bundle broken: the verdict and the object are then known. Default false. */
  readonly untilBroken?: boolean;
}

/** The bytes of a bundle, wherever they are. */
export interface BundleBytes {
  readonly size: number;
  /** So many bytes from a place on; fewer where the file ends. */
  read(at: number, count: number): Promise<Uint8Array> | Uint8Array;
}

/**
 * Verifies the evidence bundle of a file.
 *
 * @throws Node's own error when the file cannot be read: then nothing is said.
 */
export async function verifyBundleFile(
  path: string,
  trusted: Trusted,
  reading: BundleReading = {},
): Promise<EvidenceVerdict> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const read = async (at: number, count: number): Promise<Uint8Array> => {
      const buffer = new Uint8Array(count);
      const { bytesRead } = await file.read(buffer, 0, count, at);
      return buffer.subarray(0, bytesRead);
    };
    return await verifyBundle({ size, read }, trusted, reading);
  } finally {
    await file.close();
  }
}

/** Verifies an evidence bundle. Reads its bytes once, holds one member. */
export async function verifyBundle(
  bytes: BundleBytes,
  { rootKey, witnesses, timeCertificates }: Trusted,
  { onProgress = () => {}, untilBroken = false }: BundleReading = {},
): Promise<EvidenceVerdict> {
  const verifier = new BundleVerifier({ rootKey, witnesses, untilBroken });
  await readMembers(bytes, verifier, onProgress);
  const timestamps: TimestampVerdict[] = [];
  for (const { authority, size, response, note } of verifier.timestamps)
    timestamps.push({ authority, size, ...(await timestampIn(response, note, timeCertificates)) });
  return verifier.end(timestamps);
}

/** Gives the verifier each member; where the bytes are not of the form, says so and ends. */
async function readMembers(
  bundle: BundleBytes,
  verifier: BundleVerifier,
  onProgress: OnProgress,
): Promise<void> {
  const of = bundle.size;
  let at = 0;
  const read = async (count: number): Promise<Uint8Array> => {
    const bytes = count === 0 ? new Uint8Array() : await bundle.read(at, count);
    at += bytes.length;
    return bytes;
  };
  for (;;) {
    const header = await read(USTAR_BLOCK_BYTES);
    if (header.length < USTAR_BLOCK_BYTES) {
      verifier.findForm(undefined, `the file ends behind ${at} bytes, without the end of an archive`);
      return;
    }
    let member: UstarMember | undefined;
    try {
      member = readUstarHeader(header);
    } catch (error) {
      if (!isFailure(error)) throw error;
      verifier.findForm(undefined, `byte ${at - USTAR_BLOCK_BYTES}: ${messageOf(error)}`);
      return;
    }
    if (member === undefined) break;
    const { name, size } = member;
    if (size > MEMBER_BYTES_MAX || at + size > of) {
      verifier.findForm(name, `it claims ${size} bytes`);
      return;
    }
    const bytes = await read(size);
    const padding = await read(ustarPadding(size));
    if (padding.some((byte) => byte !== 0)) verifier.findForm(name, 'there is more behind it than zeros');
    verifier.addMember(name, bytes);
    if (verifier.isOver) return;
    onProgress({ bytes: at, of, at: name });
  }
  const end = await read(USTAR_END_BYTES - USTAR_BLOCK_BYTES);
  if (at !== of || end.length !== USTAR_END_BYTES - USTAR_BLOCK_BYTES || end.some((byte) => byte !== 0))
    verifier.findForm(undefined, 'behind the last member stands more or less than the end of an archive');
}
