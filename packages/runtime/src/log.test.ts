import { describe, expect, test } from '@jest/globals';
import { createLog } from './log.ts';

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

  test('an error keeps its message and stack', () => {
    const [line] = linesOf((log) => log.error({ error: new Error('broken') }, 'failed'));
    const value = JSON.parse(line ?? '');
    expect(value).toMatchObject({ service: 'test', 'log.level': 'error', message: 'failed' });
    expect(value.error.message).toBe('broken');
  });
});
