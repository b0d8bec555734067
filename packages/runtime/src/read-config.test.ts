import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { readConfig } from './read-config.ts';

const schema = z.strictObject({
  url: z.url(),
  batch: z.strictObject({ rowsMax: z.coerce.number().int().min(1) }),
  secret: z.string().min(8),
});
const names = { APP_URL: 'url', APP_BATCH_ROWS_MAX: 'batch.rowsMax', APP_SECRET: 'secret' };

function fileOf(text: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'cairn-config-')), 'value');
  writeFileSync(file, text);
  return file;
}

describe('reading the configuration', () => {
  test('the environment wins over the file', () => {
    const file = fileOf('url: http://a.example\nbatch:\n  rowsMax: 5\nsecret: from-the-file\n');
    const value = readConfig({ name: 'app', schema, names, file, env: { APP_BATCH_ROWS_MAX: '7' } });
    expect(value).toEqual({ url: 'http://a.example', batch: { rowsMax: 7 }, secret: 'from-the-file' });
  });

  test('a secret may stand in a file that the environment names', () => {
    const env = {
      APP_URL: 'http://a.example',
      APP_BATCH_ROWS_MAX: '1',
      APP_SECRET_FILE: fileOf('long enough\n'),
    };
    expect(readConfig({ name: 'app', schema, names, env }).secret).toBe('long enough');
  });

  test('every mistake is named at once, with the variable that made it', () => {
    const read = () =>
      readConfig({ name: 'app', schema, names, env: { APP_URL: 'nowhere', APP_BATCH_ROWS_MAX: '0' } });
    expect(read).toThrow(/3 mistakes.*APP_URL \(url\).*APP_BATCH_ROWS_MAX \(batch\.rowsMax\).*secret/s);
  });

  test('a key nobody reads is a mistake and not ignored', () => {
    const file = fileOf('url: http://a.example\nbatch: {rowsMax: 5}\nsecret: long enough\nurll: x\n');
    expect(() => readConfig({ name: 'app', schema, names, file, env: {} })).toThrow(/urll/);
  });

  test('a broken file is named with its line', () => {
    const file = fileOf('url: [1\nbatch: {');
    expect(() => readConfig({ name: 'app', schema, names, file, env: {} })).toThrow(/line 2/);
  });

  test('a key called __proto__ changes no prototype', () => {
    const file = fileOf(
      '__proto__: {polluted: 1}\nurl: http://a.example\nbatch: {rowsMax: 5}\nsecret: long enough\n',
    );
    try {
      readConfig({ name: 'app', schema, names, file, env: {} });
    } catch {
      // Refusing the key is as good as ignoring it.
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});
