import { describe, expect, test } from '@jest/globals';
import { dropRestoredDays, type RestoredDays, type RestoredMark } from './drop-restored-days.ts';

const NOW_MS = 1_795_000_000_000;

class RestoredInMemory implements RestoredDays {
  readonly held: RestoredMark[];
  readonly rows: Set<string>;
  /** Called before each call has its effect. */
  before: (call: string) => void = () => {};

  constructor(held: readonly RestoredMark[], rows: readonly string[]) {
    this.held = [...held];
    this.rows = new Set(rows);
  }

  async marks(): Promise<RestoredMark[]> {
    return [...this.held];
  }

  async days(): Promise<string[]> {
    return [...this.rows];
  }

  async markDropped(day: string, org: string): Promise<void> {
    this.before(`mark ${day} ${org}`);
    const at = this.held.findIndex((mark) => mark.day === day && mark.org === org);
    this.held[at] = { day, org, state: 'dropped', untilMs: 0 };
  }

  async dropDay(day: string): Promise<void> {
    this.before(`drop ${day}`);
    this.rows.delete(day);
  }
}

const mark = (day: string, org: string, left: number, state: RestoredMark['state'] = 'restored') => ({
  day,
  org,
  state,
  untilMs: NOW_MS + left,
});

describe('a day that was loaded back', () => {
  test('stays until its time is over, and then goes with its mark first', async () => {
    const table = new RestoredInMemory(
      [mark('2026-01-01', '', 1), mark('2026-01-02', '', 0)],
      ['2026-01-01', '2026-01-02'],
    );
    const calls: string[] = [];
    table.before = (call) => void calls.push(call);
    expect(await dropRestoredDays(table, NOW_MS)).toEqual(['2026-01-02']);
    expect([...table.rows]).toEqual(['2026-01-01']);
    expect(calls).toEqual(['mark 2026-01-02 ', 'drop 2026-01-02']);
    expect(await dropRestoredDays(table, NOW_MS)).toEqual([]);
  });

  test('stays while one of its marks stands, and while it is being loaded', async () => {
    const table = new RestoredInMemory(
      [
        mark('2026-01-01', 'acme', -1),
        mark('2026-01-01', 'globex', 1),
        mark('2026-01-02', '', 1, 'restoring'),
      ],
      ['2026-01-01', '2026-01-02'],
    );
    expect(await dropRestoredDays(table, NOW_MS)).toEqual([]);
  });

  test('goes in the next run when this one ends between its mark and its rows', async () => {
    const table = new RestoredInMemory([mark('2026-01-01', '', 0)], ['2026-01-01']);
    table.before = (call) => {
      if (call.startsWith('drop')) throw new Error('killed');
    };
    await expect(dropRestoredDays(table, NOW_MS)).rejects.toThrow('killed');
    expect([...table.rows]).toEqual(['2026-01-01']);
    table.before = () => {};
    expect(await dropRestoredDays(table, NOW_MS)).toEqual(['2026-01-01']);
    expect([...table.rows]).toEqual([]);
  });

  test('that somebody restores again while it is dropped is not answered from: its new mark is taken back', async () => {
    const table = new RestoredInMemory([mark('2026-01-01', '', 0)], ['2026-01-01']);
    table.before = (call) => {
      if (call.startsWith('drop')) table.held[0] = mark('2026-01-01', '', 1_000);
    };
    await dropRestoredDays(table, NOW_MS);
    expect(table.held[0]!.state).toBe('dropped');
  });
});
