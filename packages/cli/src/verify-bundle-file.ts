import { type FileHandle, open } from 'node:fs/promises';
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
import { type OnProgress, type Trusted, timestampIn } from './verify-archive.ts';

/** More than any member has: the leaves of a segment are 2 MiB, its events at most 128 MiB before they are compressed. */
const MEMBER_BYTES_MAX = 256 * 1024 ** 2;

/**
 * Verifies an evidence bundle. Reads the file once, holds one member.
 *
 * @throws Node's own error when the file cannot be read: then nothing is said.
 */
export async function verifyBundleFile(
  path: string,
  { rootKey, witnesses, timeCertificates }: Trusted,
  onProgress: OnProgress = () => {},
): Promise<EvidenceVerdict> {
  const verifier = new BundleVerifier({ rootKey, witnesses });
  const file = await open(path, 'r');
  try {
    await readMembers(file, verifier, onProgress);
  } finally {
    await file.close();
  }
  const timestamps: TimestampVerdict[] = [];
  for (const { authority, size, response, note } of verifier.timestamps)
    timestamps.push({ authority, size, ...(await timestampIn(response, note, timeCertificates)) });
  return verifier.end(timestamps);
}

/** Gives the verifier each member; where the file is not of the form, says so and ends. */
async function readMembers(
  file: FileHandle,
  verifier: BundleVerifier,
  onProgress: OnProgress,
): Promise<void> {
  const { size: of } = await file.stat();
  let at = 0;
  const read = async (bytes: number): Promise<Uint8Array> => {
    const buffer = new Uint8Array(bytes);
    const { bytesRead } = await file.read(buffer, 0, bytes, at);
    at += bytesRead;
    return buffer.subarray(0, bytesRead);
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
    onProgress({ bytes: at, of, at: name });
  }
  const end = await read(USTAR_END_BYTES - USTAR_BLOCK_BYTES);
  if (at !== of || end.length !== USTAR_END_BYTES - USTAR_BLOCK_BYTES || end.some((byte) => byte !== 0))
    verifier.findForm(undefined, 'behind the last member stands more or less than the end of an archive');
}
