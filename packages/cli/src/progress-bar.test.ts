import { Writable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { ProgressBar } from './progress-bar.ts';

function drawnOn(isTTY: boolean): { readonly bar: ProgressBar; readonly drawn: () => string } {
  let drawn = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      drawn += chunk.toString();
      done();
    },
  });
  return { bar: new ProgressBar(Object.assign(stream, { isTTY, columns: 60 })), drawn: () => drawn };
}

describe('the progress bar', () => {
  test('stays within one line of the terminal, and takes itself away', () => {
    const { bar, drawn } = drawnOn(true);
    bar.show({ bytes: 50, of: 100, at: 'audit.example/audit.events.standard/0 65536' });
    const [, line = ''] = drawn().split('\r\u001b[2K');
    expect(line).toMatch(/^#{15}\.{15} 50 % /);
    expect(line.length).toBeLessThan(60);
    bar.end();
    expect(drawn().endsWith('\r\u001b[2K')).toBe(true);
  });

  test('counts, too', () => {
    const { bar, drawn } = drawnOn(true);
    bar.showCount({ count: 3, of: 4, what: 'events' });
    expect(drawn()).toContain(' 75 %  3 of 4 events');
  });

  test('says how much came where nobody knows of how much', () => {
    const { bar, drawn } = drawnOn(true);
    bar.showBytes(3 * 1_024 ** 2);
    expect(drawn()).toContain('3.0 MiB');
  });

  test('is silent where standard error is no terminal', () => {
    const { bar, drawn } = drawnOn(false);
    bar.show({ bytes: 1, of: 2, at: '' });
    bar.end();
    expect(drawn()).toBe('');
  });
});
