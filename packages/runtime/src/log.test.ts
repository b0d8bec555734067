import { messageOf } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { createLog } from './log.ts';

/** Line breaks of every kind, escapes of terminals, C1, DEL, marks that reorder or have no width, tags outside the basic plane. */
const HOSTILE = [
  ...[
    '\0',
    '\t',
    '\n',
    '\r',
    '\u001b[31m',
    '\u007f',
    '\u0085',
    '\u009b2J',
    '\u00ad',
    '\u061c',
    '\u200b',
    '\u200f',
  ],
  ...[
    '\u2028',
    '\u2029',
    '\u202a',
    '\u202e',
    '\u2060',
    '\u2066',
    '\u2069',
    '\ufeff',
    '\ufff9',
    '\u{e0001}',
    '\ud800',
  ],
];
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

function linesOf(write: (log: ReturnType<typeof createLog>) => void): string[] {
  let text = '';
  write(
    createLog({
      name: 'test',
      destination: {
        write: (line: string) => {
          text += line;
        },
      },
    }),
  );
  return text.split('\n').slice(0, -1);
}

describe('the log', () => {
  test('a hostile name stays inside its line and no control character leaves raw', () => {
    const hostile = 'a\r\nb\u001b[31mc\u0085d\u2028e\u009bf\u007fg';
    const lines = linesOf((log) => log.info({ tool_name: hostile }, 'called'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    expect(JSON.parse(lines[0] ?? '').tool_name).toBe(hostile);
  });

  test('whatever a name, a message or an error holds, its line has no character that moves, hides or reorders', () => {
    const parts = fc.constantFrom(...'a"\\{', ...HOSTILE);
    const hostile = fc.array(fc.oneof(parts, fc.string({ unit: 'binary' })), { maxLength: 12 });
    fc.assert(
      fc.property(
        hostile.map((of) => of.join('')),
        (text) => {
          const facts = { tool_name: text, nested: { [text]: [text] }, reason: messageOf(new Error(text)) };
          const lines = linesOf((log) => {
            log.warn(facts, text);
            log.error({ error: new Error(text) }, 'failed');
          });
          expect(lines).toHaveLength(2);
          for (const line of lines) expect(line).not.toMatch(UNSAFE);
          // And whoever reads the JSON has what was written.
          const { message, ...read } = JSON.parse(lines[0]!);
          expect([message, read.tool_name]).toEqual([text, text]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('an error keeps its message and stack', () => {
    const [line] = linesOf((log) => log.error({ error: new Error('broken') }, 'failed'));
    const value = JSON.parse(line ?? '');
    expect(value).toMatchObject({ service: 'test', 'log.level': 'error', message: 'failed' });
    expect(value.error.message).toBe('broken');
  });
});
