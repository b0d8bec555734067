import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure, messageOf } from '@cairn/failure';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { LocalDatabase } from './local-database.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-database-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const unusable = (error: unknown): Failure =>
  new Failure({ code: 'notes.unusable', retry: 'later', message: messageOf(error) });
const open = (): LocalDatabase =>
  new LocalDatabase(
    join(directory, 'notes.sqlite'),
    'CREATE TABLE IF NOT EXISTS notes (note TEXT) STRICT',
    unusable,
  );
const notesIn = (database: LocalDatabase): unknown[] =>
  database
    .prepare('SELECT length(note) AS length FROM notes')
    .all()
    .map(({ length }) => length);

describe('a file of ours in SQLite', () => {
  test('takes all of what is written together, or nothing when it throws in its midst', () => {
    using database = open();
    const add = database.prepare('INSERT INTO notes VALUES (?)');
    expect(database.whole(() => add.run('a').changes)).toBe(1);
    const torn = () =>
      database.whole(() => {
        add.run('bb');
        throw new Error('torn');
      });
    expect(torn).toThrow(expect.objectContaining({ code: 'notes.unusable', message: 'torn' }));
    expect(notesIn(database)).toEqual([1]);
  });

  test('that has no more room says so, keeps what it has and goes on when there is room again', () => {
    using database = open();
    const add = database.prepare('INSERT INTO notes VALUES (?)');
    const write = (length: number) => database.whole(() => add.run('x'.repeat(length)));
    write(1);
    // SQLite answers as on a full disk (SQLITE_FULL).
    const limit = (pages: number) => database.prepare(`PRAGMA max_page_count = ${pages}`).get();
    limit(2);
    expect(() => write(100_000)).toThrow(
      expect.objectContaining({ code: 'notes.unusable', message: expect.stringContaining('full') }),
    );
    limit(1_000);
    write(2);
    expect(notesIn(database)).toEqual([1, 2]);
    using other = open();
    expect(notesIn(other)).toEqual([1, 2]);
  });

  test('that another process is writing to is waited for, and then said to be unusable', () => {
    using database = open();
    using other = open();
    other.prepare('PRAGMA busy_timeout = 0').get();
    const add = other.prepare('INSERT INTO notes VALUES (?)');
    database.whole(() => {
      expect(() => other.whole(() => add.run('a'))).toThrow(
        expect.objectContaining({ code: 'notes.unusable' }),
      );
    });
    other.whole(() => add.run('a'));
    expect(notesIn(database)).toEqual([1]);
  });
});
