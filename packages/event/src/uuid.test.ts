import { expect, test } from '@jest/globals';
import { formatUuid, uuidV7, uuidV8 } from './index.ts';

test('a UUIDv7 is that of RFC 9562, appendix A.6', () => {
  const id = new Uint8Array([0, 0, 0, 0, 0, 0, 0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
  expect(formatUuid(uuidV7(id, 0x017f22e279b0))).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
});

test('a time before 1970 is that of 1970', () => {
  expect(formatUuid(uuidV7(new Uint8Array(16), -1))).toBe('00000000-0000-7000-8000-000000000000');
});

test('a UUIDv8 keeps all bits but version and variant', () => {
  expect(formatUuid(uuidV8(new Uint8Array(16).fill(0xff)))).toBe('ffffffff-ffff-8fff-bfff-ffffffffffff');
});
