/**
 * POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"), and of it only what a bundle uses: plain files, mode 0644,
 * owner, group and times 0. So a header has one form, and a reader compares bytes.
 *
 *     offset    0 name, 100     100 mode, 8      108 uid, 8     116 gid, 8     124 size, 12    136 mtime, 12
 *             148 checksum, 8   156 type "0"     157 link, 100  257 "ustar\0"  263 "00"        265 uname, 32
 *             297 gname, 32     329 device, 16   345 prefix, 155              500 zeros, 12
 *
 * Behind a header stand the bytes, filled up with zeros to a multiple of 512; two blocks of zeros end the file.
 */
import { textOf, utf8 } from '@cairn/event';
import { Failure } from '@cairn/failure';

export const USTAR_BLOCK_BYTES = 512;
export const USTAR_END_BYTES = 1_024;
/** Eleven octal digits. */
const SIZE_MAX = 0o77777777777;

export interface UstarMember {
  readonly name: string;
  readonly size: number;
}

/** @throws RangeError when the name cannot stand in a header, or the size. */
export function ustarHeader({ name, size }: UstarMember): Uint8Array<ArrayBuffer> {
  const { prefix, rest } = splitName(name);
  if (!Number.isSafeInteger(size) || size < 0 || size > SIZE_MAX)
    throw new RangeError(`${size} is no size of a member`);
  const header = new Uint8Array(USTAR_BLOCK_BYTES);
  const put = (text: string, at: number): void => header.set(utf8(text), at);
  put(rest, 0);
  put('0000644\0', 100);
  put('0000000\0', 108);
  put('0000000\0', 116);
  put(`${size.toString(8).padStart(11, '0')}\0`, 124);
  put('00000000000\0', 136);
  put('        ', 148);
  put('0', 156);
  put('ustar\u000000', 257);
  put('0000000\0', 329);
  put('0000000\0', 337);
  put(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** Zeros behind so many bytes. */
export const ustarPadding = (size: number): number =>
  (USTAR_BLOCK_BYTES - (size % USTAR_BLOCK_BYTES)) % USTAR_BLOCK_BYTES;

/**
 * The member that a header announces; undefined for a block of zeros.
 *
 * @throws Failure `ustar.form` when the block is not the header of that member, byte for byte.
 */
export function readUstarHeader(block: Uint8Array): UstarMember | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  let member: UstarMember;
  let same: Uint8Array;
  try {
    const prefix = textAt(block, 345, 155);
    const rest = textAt(block, 0, 100);
    const digits = textAt(block, 124, 12);
    if (!/^[0-7]{11}$/.test(digits)) throw new RangeError('a size is not octal');
    member = { name: prefix === '' ? rest : `${prefix}/${rest}`, size: Number.parseInt(digits, 8) };
    same = ustarHeader(member);
  } catch (cause) {
    throw form('a header cannot be read', cause);
  }
  if (same.some((byte, at) => byte !== block[at]))
    throw form(`the header of ${member.name} is not of the form of a bundle`);
  return member;
}

function splitName(name: string): { readonly prefix: string; readonly rest: string } {
  if (!/^[A-Za-z0-9][A-Za-z0-9._/-]*$/.test(name))
    throw new RangeError('a member has a name of another form');
  if (name.length <= 100) return { prefix: '', rest: name };
  const at = name.indexOf('/', name.length - 101);
  if (at < 1 || at > 155) throw new RangeError('the name of a member is too long');
  return { prefix: name.slice(0, at), rest: name.slice(at + 1) };
}

function textAt(block: Uint8Array, at: number, bytes: number): string {
  const field = block.subarray(at, at + bytes);
  const end = field.indexOf(0);
  return textOf(end < 0 ? field : field.subarray(0, end));
}

function form(why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'ustar.form',
    retry: 'no',
    message: `the file is no bundle: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
