// The second verifier's own tests, where Go is: its known answers, its archives and bundles, and what is done to them. Every
// 23rd byte is flipped here; `go test ./...` flips every one.
import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';

function go(command: string, ...args: string[]): { status: number | null; printed: string } {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  });
  return { status, printed: `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}` };
}

test('its sources are formatted and vetted', () => {
  expect(go('gofmt', '-l', '.')).toEqual({ status: 0, printed: '' });
  expect(go('go', 'vet', './...')).toEqual({ status: 0, printed: '' });
}, 300_000);

test('its own tests hold', () => {
  const { status, printed } = go('go', 'test', '-short', '-count=1', './...');
  expect(printed).toMatch(/^ok/);
  expect(status).toBe(0);
}, 600_000);
